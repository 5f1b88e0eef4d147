import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { content, mediaTypes } from './support/images.js';
import { startNginx } from './support/nginx.js';
import type { Nginx } from './support/nginx.js';
import { seededRandom } from './support/random.js';
import { RegistryHttp } from './support/registry-http.js';
import { startRegistry } from './support/registry-server.js';
import { openTestBed, openWorkspace } from './support/test-bed.js';
import type { TestBed, Workspace } from './support/test-bed.js';

const blob = content(mediaTypes.ociLayerGzip, seededRandom(13).bytes(1_000_000));

describeClient('nginx in front of a cache', ['nginx'], () => {
  let upstream: TestBed;
  let bed: Workspace;
  let nginx: Nginx;
  let client: RegistryHttp;

  beforeAll(async () => {
    upstream = await openTestBed();
    await new RegistryHttp(upstream.registry.origin).pushBlob('local/app', blob);
    bed = await openWorkspace();
    const config = {
      repositories: [{ name: 'hub', type: 'remote', url: upstream.registry.origin }],
      namespaces: { 'up.example': 'hub' },
      access: 'open',
      trustedProxies: ['127.0.0.1'],
      sendfile: 'x-accel',
    };
    const registry = await startRegistry(bed.folder, { config });
    bed.onClose(() => registry.stop());
    nginx = await startNginx(bed, registry);
    bed.onClose(() => nginx.stop());
    const agent = new Agent({ connect: { ca: nginx.ca } });
    bed.onClose(() => agent.destroy());
    client = new RegistryHttp(nginx.origin, agent);
  });
  afterAll(async () => {
    await bed?.close();
    await upstream?.close();
  });

  test.each([
    ['comes through the registry while it is fetched', '/v2/hub/local/app', 'miss', undefined],
    ['comes from nginx when it is there', '/v2/hub/local/app', 'hit', undefined],
    ['comes from nginx by a namespace', '/v2/local/app', 'hit', 'up.example'],
  ] as const)('a blob %s, and says where it is from', async (_title, image, cache, namespace) => {
    const query = namespace === undefined ? '' : `?ns=${namespace}`;
    const path = `${image}/blobs/${blob.digest}${query}`;
    let answer = await client.send(path);
    // The client gets the last byte a moment before the blob is in the cache.
    while (answer.headers['x-cache'] !== cache) answer = await client.send(path);
    expect([answer.status, answer.body.equals(blob.bytes)]).toEqual([200, true]);
    expect(answer.headers).toMatchObject({ 'x-cache': cache, 'x-cache-repository': 'hub', etag: `"${blob.digest}"` });
    expect(answer.headers['oci-namespace']).toBe(namespace);
    const logged = async () => (await nginx.requests()).at(-1);
    const fromRegistry = cache === 'miss' ? blob.bytes.length : 0;
    await expect.poll(logged).toMatchObject({ url: path, sent: blob.bytes.length, fromRegistry });
  });
});
