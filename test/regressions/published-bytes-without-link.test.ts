import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Candidate } from '../../src/ports/metadata/metadata.js';
import { FolderHandles } from '../../src/storage/files/system/folder-handles.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { Client } from '../support/clients/client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  types,
} from '../support/content/content.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { makeScratchFolder } from '../support/storage/scratch.js';
import { Domain, isApplyOf, once, pushBlobs } from '../support/storage/domain.js';

/** Too large to be synced only when a manifest names it. */
const layer = someBytes('layer', 2 * 1024 * 1024);

/** Fails the next sync of a folder, which follows the rename into it. */
function failNextFolderSync(): void {
  vi.spyOn(FolderHandles.prototype, 'sync').mockRejectedValueOnce(
    Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }),
  );
}

describe('bytes that were published but not linked', () => {
  let folder: string;
  let started: TestRegistry;
  let client: Client;
  beforeEach(async () => {
    folder = await makeScratchFolder();
    started = await startRegistry({ storage: folder });
    client = new Client(started.url);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await client.close();
    await started.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function candidates(): Promise<readonly Candidate[]> {
    await started.registry.close();
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    try {
      return await metadata.candidates(Number.MAX_SAFE_INTEGER, 10);
    } finally {
      await metadata.close();
    }
  }

  it('get a candidate when the folder of a blob cannot be synced', async () => {
    failNextFolderSync();
    const upload = await client.post('/v2/local/app/blobs/uploads/');
    const put = await client.put(`${upload.header('location')}?digest=${digest(layer)}`, { body: layer });
    expect(put.status).toBe(500);
    expect(await candidates()).toContainEqual(expect.objectContaining({ kind: 'bytes', digest: digest(layer) }));
  });

  it('are linked when the client uploads them again', async () => {
    failNextFolderSync();
    const upload = await client.post('/v2/local/app/blobs/uploads/');
    expect((await client.patch(upload.header('location'), { body: layer })).status).toBe(202);
    expect((await client.put(`${upload.header('location')}?digest=${digest(layer)}`)).status).toBe(500);
    expect((await client.head(`/v2/local/app/blobs/${digest(layer)}`)).status).toBe(404);
    await pushBlob(client, 'local/app', layer);
    expect((await client.get(`/v2/local/app/blobs/${digest(layer)}`)).body).toEqual(layer);
  });

  it('get a candidate when the folder of a manifest cannot be synced, and the manifest can be pushed again', async () => {
    const config = Buffer.from('{}');
    await pushBlob(client, 'local/app', config);
    const manifest = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, config), layers: [] });
    failNextFolderSync();
    const put = await client.put('/v2/local/app/manifests/v1', {
      headers: { 'Content-Type': manifest.type },
      body: manifest.bytes,
    });
    expect(put.status).toBe(500);
    await pushManifest(client, 'local/app', 'v1', manifest);
    expect((await client.get('/v2/local/app/manifests/v1')).body).toEqual(manifest.bytes);
    expect(await candidates()).toContainEqual(expect.objectContaining({ kind: 'bytes', digest: manifest.digest }));
  });
});

describe('an upload whose link and candidate both fail', () => {
  it('reports the first failure and logs the second', async () => {
    const domain = await Domain.open();
    try {
      await domain.addRepository('local');
      const linking = once(isApplyOf('blob.link'), () => Promise.reject(new Error('the link')));
      const candidate = once(isApplyOf('candidate.put'), () => Promise.reject(new Error('the candidate')));
      const pushing = domain.actor(async (method, args) => {
        await linking(method, args);
        await candidate(method, args);
      });
      await expect(pushBlobs(pushing.writer('local'), 'team/app', [layer])).rejects.toThrow('the link');
      expect(domain.log).toContainEqual(
        expect.objectContaining({ level: 'error', message: expect.stringMatching(/garbage candidate/) as string }),
      );
    } finally {
      await domain.dispose();
    }
  });
});
