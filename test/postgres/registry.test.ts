import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDigest } from '../../src/protocol/digest.js';
import { describeBytes, digest, manifestOf, pushBlob, pushManifest, types } from '../support/content/content.js';
import { startPostgresProxy, type PostgresProxy } from '../support/servers/postgres-proxy.js';
import { pullsCompletely, pushSmallImage } from '../support/storage/backup-scene.js';
import { createNodes, type Nodes } from './nodes.js';

let nodes: Nodes;
let proxy: PostgresProxy;

beforeEach(async () => {
  nodes = await createNodes();
  proxy = await startPostgresProxy(nodes.database.url);
});
afterEach(async () => {
  await nodes.stop();
  await proxy.stop();
});

describe('two nodes with one database', () => {
  it('serve what was pushed to the other, and agree on tags and deletions', async () => {
    const [first, second] = [await nodes.start(), await nodes.start()];
    const image = await pushSmallImage(first.client, 'local/app', '1');
    const other = await pushSmallImage(second.client, 'local/app', '2');
    for (const { client } of [first, second]) {
      expect(await pullsCompletely(client, image)).toBe(true);
      expect(await pullsCompletely(client, other)).toBe(true);
      const tags = await client.get('/v2/local/app/tags/list');
      expect(tags.json()).toMatchObject({ name: 'local/app', tags: ['1', '2'] });
    }
    expect((await second.client.delete(`/v2/local/app/manifests/${image.manifest.digest}`)).status).toBe(202);
    expect((await first.client.get('/v2/local/app/manifests/1')).status).toBe(404);
    expect(await pullsCompletely(first.client, other)).toBe(true);
  });

  it('collect garbage of each other, and keep what is in use', async () => {
    const [first, second] = [await nodes.start(), await nodes.start()];
    const image = await pushSmallImage(first.client, 'local/app', '1');
    const kept = await pushSmallImage(first.client, 'local/app', '2');
    expect((await first.client.delete(`/v2/local/app/manifests/${image.manifest.digest}`)).status).toBe(202);
    // Several passes: links become candidates for bytes, and each node leaves the other's claims alone.
    await expect
      .poll(async () => {
        for (const { registry } of [first, second]) await registry.registry.collectGarbage({ graceSeconds: 0 });
        return nodes.disk.blobs.has(parseDigest(digest(image.layer)));
      })
      .toBe(false);
    expect(nodes.disk.blobs.size).toBe(3);
    expect(await pullsCompletely(second.client, kept)).toBe(true);
  });

  it('keep a blob that the other reported as present until the client names it in a manifest', async () => {
    const options = { garbageCollection: { intervalSeconds: 0, graceSeconds: 86_400 } };
    const [first, second, third] = [await nodes.start(options), await nodes.start(options), await nodes.start(options)];
    const old = await pushSmallImage(first.client, 'local/app', '1');
    // As if an hour had passed since the push.
    await nodes.database.query('UPDATE link SET linked_at = linked_at - 3600000');
    const path = `/v2/local/app/blobs/${digest(old.layer)}`;
    expect((await second.client.send('HEAD', path)).status).toBe(200);
    expect((await third.client.delete(`/v2/local/app/manifests/${old.manifest.digest}`)).status).toBe(202);
    const report = await first.registry.registry.collectGarbage({ graceSeconds: 0 });
    // What no one asked for is freed: the config and the manifest.
    expect(report).toMatchObject({ blobsDeleted: 2, pending: { blobs: 1, bytes: old.layer.length } });
    const config = Buffer.from('{}');
    const layers = [describeBytes(types.ociLayer, old.layer)];
    const next = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, config), layers });
    await pushBlob(first.client, 'local/app', config);
    await pushManifest(third.client, 'local/app', '2', next);
    const pulled = { name: 'local/app', tag: '2', manifest: next, config, layer: old.layer };
    expect(await pullsCompletely(second.client, pulled)).toBe(true);
  });
});

it('a node answers 503 with Retry-After while the database is away, and recovers', async () => {
  const { client, registry } = await nodes.start({}, proxy.url);
  const image = await pushSmallImage(client, 'local/app', '1');
  proxy.refuse(true);
  const refused = await client.get('/v2/local/app/manifests/1');
  expect([refused.status, refused.header('retry-after'), refused.codes]).toEqual([503, '5', ['UNAVAILABLE']]);
  expect((await client.post('/v2/local/app/blobs/uploads/')).status).toBe(503);
  expect(await registry.registry.health()).toMatchObject({ status: 'unavailable' });
  proxy.refuse(false);
  expect(await pullsCompletely(client, image)).toBe(true);
  await pushSmallImage(client, 'local/app', '2');
});
