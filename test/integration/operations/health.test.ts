import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createRegistry, type Registry } from '../../../src/index.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { createRegistryServer } from '../../../src/command/serve/server.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { FsBlobStore } from '../../../src/storage/files/fs-blob-store.js';
import { Client } from '../../support/clients/client.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(async () => {
  vi.restoreAllMocks();
  await cleanups.run();
});

async function serve() {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const logger = recordingLogger();
  const registry: Registry = createRegistry({
    storage: path.join(folder, 'data'),
    access: 'open',
    repositories: [{ name: 'local', type: 'local' }],
    logger,
  });
  const server = createRegistryServer({ registry, log: recordingLogger() });
  const { port } = await server.listen(0, '127.0.0.1');
  const client = new Client(`http://127.0.0.1:${port}`);
  cleanups.add(
    () => server.stop(0).catch(() => undefined),
    () => client.close(),
  );
  return { registry, client, data: path.join(folder, 'data'), log: logger.lines };
}

/** Both probes, once a report is not reused any more. */
async function expectHealth(client: Client, status: number, document: object): Promise<void> {
  await expect.poll(async () => (await client.get('/readyz')).status).toBe(status);
  expect((await client.get('/readyz')).json()).toMatchObject(document);
  const answer = await client.get('/api/v1/health');
  expect(answer.status).toBe(status);
  const shown: unknown = answer.json();
  expect(shown).toMatchObject(status === 200 ? document : { errors: [{ code: 'UNAVAILABLE', detail: document }] });
  expect(answer.body.toString()).not.toMatch(/artifactapi-test|index\/|staged/);
}

const fine = { status: 'ok', components: { index: { status: 'ok', reopens: 0 }, blobs: { status: 'ok' } } };

describe('the health of a registry', () => {
  it('is reported by /readyz, the management API and registry.health()', async () => {
    const { registry, client } = await serve();
    await expectHealth(client, 200, fine);
    expect(await registry.health()).toMatchObject(fine);
    await registry.close();
    const closed = { status: 'unavailable', reason: 'the registry is closed', refusals: { connections: 0 } };
    expect(await registry.health()).toMatchObject(closed);
    expect((await client.get('/readyz')).json()).toMatchObject(closed);
  });

  it('is unavailable while the data folder is gone', async () => {
    const { client, data, log } = await serve();
    await pushAndPull(client, 'local/app');
    await rename(data, `${data}-away`);
    const reason = 'a part of its data folder is missing';
    await expectHealth(client, 503, { status: 'unavailable', components: { blobs: { status: 'failed', reason } } });
    await rename(`${data}-away`, data);
    await expectHealth(client, 200, fine);
    await pushAndPull(client, 'local/app');
    expect(log.map(({ message }) => message).filter((message) => message.startsWith('health'))).toEqual([
      'health check failed',
      'health check passed again',
    ]);
  });

  it('is unavailable after rm -rf of the data folder', async () => {
    const { registry, client, data } = await serve();
    expect((await client.get('/readyz')).status).toBe(200);
    await rm(data, { recursive: true });
    await expectHealth(client, 503, { status: 'unavailable', components: { blobs: { status: 'failed' } } });
    // Closing says that it could not write, and leaves nothing locked: a new registry opens the same folder.
    await expect(registry.close()).rejects.toThrow(/^closing failed: registry: closing failed: .*ENOENT/);
    const again = createRegistry({ storage: data, logger: recordingLogger() });
    await again.ready();
    await again.close();
  });

  it('is unavailable while the index refuses writes, and ok while the disk is full', async () => {
    const { client } = await serve();
    const refuse = vi
      .spyOn(LevelMetadataStore.prototype, 'check')
      .mockRejectedValue(new RegistryError('UNAVAILABLE', { message: 'the index takes no writes' }));
    const failed = { status: 'failed', reason: 'the index takes no writes' };
    await expectHealth(client, 503, { status: 'unavailable', components: { index: failed } });
    refuse.mockRestore();
    await expectHealth(client, 200, fine);
    vi.spyOn(FsBlobStore.prototype, 'ensureRoom').mockRejectedValue(
      new RegistryError('UNAVAILABLE', { status: 507, message: 'the disk is full' }),
    );
    const degraded = { status: 'degraded', reason: 'the disk is full' };
    await expect
      .poll(async () => (await client.get('/readyz')).json())
      .toMatchObject({ status: 'ok', components: { blobs: degraded } });
    expect((await client.get('/readyz')).status).toBe(200);
  });
});
