import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import type { Image } from './support/images.js';
import { blobBytes, freshImage, startCache, upstreamBytes } from './support/mirror-bed.js';
import { RegistryHttp, header } from './support/registry-http.js';
import { startRegistry } from './support/registry-server.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';
import {
  blobsOf,
  blobsSent,
  startDistribution,
  startOwnUpstream,
  upstreamAccount as account,
} from './support/upstreams.js';
import type { Upstream } from './support/upstreams.js';

let workspace: Workspace;
let image: Image;

beforeEach(async () => {
  workspace = await openWorkspace();
  image = await freshImage('amd64', 300_000);
});
afterEach(() => workspace?.close());

const remote = (name: string, url: string, settings: object = {}) => ({ name, type: 'remote', url, ...settings });
const tag = { headers: { accept: '*/*' } };

async function startUpstream(start: (folder: string) => Promise<Upstream>): Promise<Upstream> {
  const upstream = await start(join(workspace.folder, 'upstream'));
  workspace.onClose(() => upstream.stop());
  return upstream;
}

async function startMirror(...repositories: object[]): Promise<RegistryHttp & { readonly origin: string }> {
  const { origin } = await startCache(workspace, { config: { repositories } });
  return Object.assign(new RegistryHttp(origin), { origin });
}

/** Pulls the whole image with four concurrent clients. */
async function pullByFour(mirror: RegistryHttp, name: string): Promise<void> {
  await Promise.all([1, 2, 3, 4].map(() => mirror.pullImage(name, '1', image)));
}

describeClient("Debian's docker-registry as upstream", ['docker-registry'], () => {
  test('sends each blob once for several pulls by four clients, and once per pull without a cache', async () => {
    const upstream = await startUpstream((folder) => startDistribution(folder));
    await new RegistryHttp(upstream.origin).pushImage('team/app', '1', image);
    const mirror = await startMirror(
      remote('hub', upstream.origin),
      remote('direct', upstream.origin, { cache: false }),
    );
    await pullByFour(mirror, 'hub/team/app');
    await pullByFour(mirror, 'hub/team/app');
    await expect.poll(() => blobsSent(upstream)).toEqual(blobsOf(image));
    await mirror.pullImage('direct/team/app', '1', image);
    await expect.poll(() => blobsSent(upstream)).toEqual([...blobsOf(image), ...blobsOf(image)].toSorted());
  });

  test('may have a URL with a path, which precedes every name', async () => {
    const upstream = await startUpstream((folder) => startDistribution(folder));
    await new RegistryHttp(upstream.origin).pushImage('deep/down/app', '1', image);
    const url = `${upstream.origin}/deep/down`;
    const mirror = await startMirror(remote('hub', url), remote('direct', url, { cache: false }));
    await mirror.pullImage('hub/app', '1', image);
    await mirror.pullImage('direct/app', '1', image);
  });

  test('may be down when the mirror starts: it serves cached content, and the rest when the upstream is back', async () => {
    const folder = join(workspace.folder, 'upstream');
    const upstream = await startUpstream((place) => startDistribution(place));
    await new RegistryHttp(upstream.origin).pushImage('team/app', '1', image);
    const config = { repositories: [remote('hub', upstream.origin, { tagTtlSeconds: 0 })] };
    const first = await startCache(workspace, { config });
    await new RegistryHttp(first.origin).pullImage('hub/team/app', '1', image);
    await first.stop();
    await upstream.stop();

    const mirror = new RegistryHttp((await startCache(workspace, { config })).origin);
    const stale = await mirror.send('/v2/hub/team/app/manifests/1', tag);
    expect(stale.status).toBe(200);
    expect(header(stale, 'x-cache')).toBe('stale');
    expect(header(stale, 'warning')).toMatch(/^299 - "stale: /);
    await mirror.pullImage('hub/team/app', '1', image);
    expect((await mirror.send('/v2/hub/team/other/manifests/1', tag)).status).toBe(503);

    const back = await startDistribution(folder, { port: Number(new URL(upstream.origin).port) });
    workspace.onClose(() => back.stop());
    await waitUntilFresh(mirror);
    expect((await mirror.send('/v2/hub/team/other/manifests/1', tag)).status).toBe(404);
  });
});

/** Waits until the circuit breaker lets a probe through, which takes 10 s, or longer after a probe that failed. */
async function waitUntilFresh(mirror: RegistryHttp): Promise<void> {
  for (let attempt = 0; attempt < 900; attempt++) {
    const answer = await mirror.send('/v2/hub/team/app/manifests/1', tag);
    if (header(answer, 'x-cache') !== 'stale') return;
    await sleep(100);
  }
  throw new Error('the mirror did not notice that the upstream is back');
}

describeClient("Debian's docker-registry as upstream, with Basic", ['docker-registry'], () => {
  async function startLocked(): Promise<Upstream> {
    const folder = join(workspace.folder, 'upstream');
    const open = await startDistribution(folder);
    await new RegistryHttp(open.origin).pushImage('team/app', '1', image);
    await open.stop();
    return startUpstream((place) => startDistribution(place, { basic: true }));
  }

  test.each([true, false])('is used with credentials from the environment, cache: %s', async (cache) => {
    const upstream = await startLocked();
    const credentials = { username: account.username, password: '${UPSTREAM_PASSWORD}' };
    const config = { repositories: [remote('hub', upstream.origin, { cache, credentials })] };
    const env = { UPSTREAM_PASSWORD: account.password };
    const { origin } = await startCache(workspace, { config, env });
    const mirror = new RegistryHttp(origin);
    await mirror.pullImage('hub/team/app', '1', image);
    await expect.poll(() => blobsSent(upstream)).toEqual(blobsOf(image));
    const shown = await mirror.send('/api/v1/repositories/hub');
    expect(JSON.parse(shown.body.toString())).toMatchObject({ has_credentials: true });
    expect(shown.body.toString()).not.toContain(account.password);
  });

  test.each([
    ['no credentials', true, undefined],
    ['no credentials', false, undefined],
    ['wrong credentials', true, { username: account.username, password: 'wrong' }],
    ['wrong credentials', false, { username: account.username, password: 'wrong' }],
  ])(
    'with %s, cache: %s, leads to our own error, never to its challenge or a 404',
    async (_what, cache, credentials) => {
      const upstream = await startLocked();
      const mirror = await startMirror(remote('hub', upstream.origin, { cache, credentials }));
      const refused = await mirror.send('/v2/hub/team/app/manifests/1', tag);
      expect(refused.status).toBe(503);
      expect(refused.headers['www-authenticate']).toBeUndefined();
      expect(refused.body.toString()).toContain(new URL(upstream.origin).host);
    },
  );
});

describe('our own registry as an upstream', () => {
  const upstreamConfig = { access: 'open', repositories: [{ name: 'images', type: 'local' }] };

  test.each([true, false])('serves a mirror with cache: %s', async (cache) => {
    const upstream = await startUpstream((folder) => startOwnUpstream(folder, upstreamConfig));
    await new RegistryHttp(upstream.origin).pushImage('images/team/app', '1', image);
    const mirror = await startMirror(
      remote('hub', upstream.origin, { cache }),
      remote('images', `${upstream.origin}/images`, { cache }),
    );
    await mirror.pullImage('hub/images/team/app', '1', image);
    await mirror.pullImage('images/team/app', '1', image);
    const listed = await mirror.send('/v2/images/team/app/tags/list');
    expect(JSON.parse(listed.body.toString())).toEqual({ name: 'images/team/app', tags: ['1'] });
  });

  test('sends each blob once through a chain of two caches', async () => {
    const upstream = await startUpstream((folder) => startOwnUpstream(folder, upstreamConfig));
    await new RegistryHttp(upstream.origin).pushImage('images/team/app', '1', image);
    const middleConfig = { repositories: [remote('middle', `${upstream.origin}/images`)] };
    const middle = await startOwnUpstream(join(workspace.folder, 'middle'), middleConfig);
    workspace.onClose(() => middle.stop());
    const mirror = await startMirror(remote('hub', `${middle.origin}/middle`));
    // A HEAD for content that is not cached is sent to the upstream.
    const found = await mirror.send('/v2/hub/team/app/manifests/1', { method: 'HEAD' });
    expect(header(found, 'docker-content-digest')).toBe(image.manifest.digest);
    await pullByFour(mirror, 'hub/team/app');
    await expect.poll(() => blobsSent(middle)).toEqual(blobsOf(image));
    await expect.poll(() => blobsSent(upstream)).toEqual(blobsOf(image));
    const least = blobBytes(image);
    const most = least + 4 * image.manifest.bytes.length;
    for (const [origin, repository] of [
      [mirror.origin, 'hub'],
      [middle.origin, 'middle'],
    ] as const) {
      const moved = await upstreamBytes(origin, repository, least);
      expect(moved, repository).toBeGreaterThanOrEqual(least);
      expect(moved, repository).toBeLessThanOrEqual(most);
    }
  });

  test('detects the loop of two caches that are each other’s upstream', async () => {
    const first = await startRegistry(join(workspace.folder, 'first'), {
      config: { access: 'open', repositories: [] },
    });
    workspace.onClose(() => first.stop());
    const second = await startMirror(remote('loop', `${first.origin}/loop`));
    const made = await new RegistryHttp(first.origin).send('/api/v1/repositories', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        name: 'loop',
        package_type: 'docker',
        repo_type: 'remote',
        url: `${second.origin}/loop`,
      }),
    });
    expect(made.status, made.body.toString()).toBe(201);
    const answer = await second.send('/v2/loop/team/app/manifests/1', tag);
    expect(answer.status).toBeGreaterThanOrEqual(500);
  });
});
