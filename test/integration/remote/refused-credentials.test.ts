import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  Cleanups,
  MovableClock,
  startRemote,
  type RemoteOptions,
  type RemoteScene,
} from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const wrong = { username: 'robot', password: 'Tr0ub4dor&3' };
const right = { username: 'robot', password: 'right' };
const json = { 'Content-Type': 'application/json' };

/** A cache `hub`, a pass-through `through` and a virtual repository of the pass-through, `all`. */
async function start(options: RemoteOptions): Promise<RemoteScene> {
  const scene = await startRemote(cleanups, options, {
    others: (url) => [
      { name: 'through', type: 'remote', url, cache: false, ...options },
      { name: 'behind', type: 'remote', url, cache: false, ...options },
      { name: 'all', type: 'virtual', members: ['behind'] },
    ],
  });
  for (let i = 0; i < 20; i++) scene.fault.images.addImage(`team/app-${i}`, 'v1');
  return scene;
}

type Type = 'basic' | 'token';
function authOf(type: Type, open: readonly string[] = []) {
  return type === 'basic' ? { type, ...right, open } : { type, users: { robot: right.password }, open };
}

/** Returns the requests that carry credentials of ours. */
function offered({ fault }: RemoteScene) {
  return fault.requests.filter(({ headers }) => headers.authorization?.startsWith('Basic ') === true);
}

describe.each<[Type, string]>([
  ['basic', 'hub'],
  ['basic', 'through'],
  ['basic', 'all'],
  ['token', 'hub'],
  ['token', 'through'],
  ['token', 'all'],
])('credentials that the upstream refuses (%s) in "%s"', (type, name) => {
  const path = (i: number): string => `/v2/${name}/team/app-${i}/manifests/v1`;

  it('are offered once for 60 concurrent requests, and again after a minute', async () => {
    const scene = await start({ credentials: wrong });
    scene.fault.auth = authOf(type);
    const ask = () => Promise.all(Array.from({ length: 60 }, (_, i) => scene.client.get(path(i % 20))));
    for (const answer of await ask()) {
      expect([answer.status, answer.codes, answer.header('www-authenticate')]).toEqual([503, ['UNAVAILABLE'], '']);
      expect(answer.body.toString()).toContain('refuses our credentials');
    }
    expect(offered(scene)).toHaveLength(1);
    clock.advance(50);
    await ask();
    expect(offered(scene)).toHaveLength(1);
    clock.advance(15);
    await ask();
    expect(offered(scene)).toHaveLength(2);
    const lines = scene.server.log.filter(({ message }) => message === 'upstream credentials refused');
    expect(lines).toHaveLength(2);
    expect(JSON.stringify([lines, scene.server.log])).not.toContain(wrong.password);
  });

  it('are not needed for images that the upstream serves to everyone', async () => {
    const scene = await start({ credentials: wrong });
    scene.fault.auth = authOf(type, ['team/app-1', 'team/app-2']);
    for (const i of [0, 1, 2, 3]) {
      expect([i, (await scene.client.get(path(i))).status]).toEqual([i, i === 1 || i === 2 ? 200 : 503]);
    }
    expect(offered(scene)).toHaveLength(1);
  });

  it('are tried again at once when a callback returns others', async () => {
    let credentials = wrong;
    const scene = await start({ credentials: () => Promise.resolve(credentials) });
    scene.fault.auth = authOf(type);
    expect((await scene.client.get(path(0))).status).toBe(503);
    credentials = right;
    expect((await scene.client.get(path(0))).status).toBe(200);
    expect(new Set(offered(scene).map(({ headers }) => headers.authorization)).size).toBe(2);
  });

  it('are tried again at once when an administrator changes them', async () => {
    const scene = await startRemote(cleanups);
    const { fault, client } = scene;
    fault.images.addImage('team/app', 'v1');
    fault.auth = authOf(type);
    const cache = name === 'hub';
    const document = { name: 'made', package_type: 'docker', repo_type: 'remote', url: fault.url, cache };
    const send = (method: 'post' | 'put', path: string, credentials: object) =>
      client[method](path, { headers: json, body: JSON.stringify({ ...document, credentials }) });
    await send('post', '/api/v1/repositories', wrong);
    expect((await client.get('/v2/made/team/app/manifests/v1')).status).toBe(503);
    await send('put', '/api/v1/repositories/made', right);
    expect((await client.get('/v2/made/team/app/manifests/v1')).status).toBe(200);
  });

  it('do not hold back requests while the realm or registry cannot be reached', async () => {
    const scene = await start({ credentials: right });
    scene.fault.auth = authOf(type);
    const heal = scene.fault.fault(/./, { at: type === 'basic' ? 'registry' : 'token', status: 500 });
    expect((await scene.client.get(path(0))).status).toBe(503);
    heal();
    expect((await scene.client.get(path(0))).status).toBe(200);
  });
});

describe('a cache whose credentials were refused', () => {
  it.each<Type>(['basic', 'token'])('serves stale content and gives the reason everywhere (%s)', async (type) => {
    const scene = await start({ credentials: wrong, tagTtlSeconds: 0 });
    const { client } = scene;
    const path = '/v2/hub/team/app-0/manifests/v1';
    await client.get(path);
    scene.fault.auth = authOf(type);
    for (let i = 0; i < 5; i++) {
      const answer = await client.get(path);
      expect([answer.status, answer.header('x-cache')]).toEqual([200, 'stale']);
      expect(answer.header('warning')).toContain('refuses our credentials');
    }
    // A HEAD that is refused shows nothing about the credentials, so a GET follows.
    const methods = offered(scene).map(({ method }) => method);
    expect(methods.filter((method) => method === 'GET')).toHaveLength(1);
    expect(methods.length).toBeLessThanOrEqual(2);
    const other = await client.get('/v2/hub/team/app-1/manifests/v1');
    expect(JSON.stringify(other.json())).toContain('refuses our credentials');
    const explained = await client.get('/api/v1/explain?name=hub/team/app-0&reference=v1');
    expect((explained.json() as { problem: string }).problem).toContain('refuses our credentials');
    expect(scene.server.log.filter(({ message }) => message === 'upstream credentials refused')).toHaveLength(1);
  });
});

describe('a fixed token that the upstream refuses', () => {
  it.each(['hub', 'through', 'all'])('is a failure and not a denial in "%s"', async (name) => {
    const scene = await start({ credentials: { token: 'expired' } });
    scene.fault.auth = authOf('token');
    for (let i = 0; i < 3; i++) {
      const answer = await scene.client.get(`/v2/${name}/team/app-0/manifests/v1`);
      expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    }
    const sent = scene.fault.requests.filter(({ headers }) => headers.authorization === 'Bearer expired');
    expect(sent).toHaveLength(1);
  });
});

describe('a request that tries credentials', () => {
  it('and gets a 500 for its image neither fails the others nor opens the circuit breaker', async () => {
    const scene = await start({ credentials: right });
    scene.fault.auth = authOf('basic');
    expect((await scene.client.get('/v2/hub/team/app-0/manifests/v1')).status).toBe(200);
    clock.advance(61);
    scene.fault.fault('/team/app-1/', { status: 500 });
    const paths = [1, 2, 3, 4, 5, 6, 7].map((i) => `/v2/hub/team/app-${i}/manifests/v1`);
    const answers = await Promise.all(paths.map((path) => scene.client.get(path)));
    expect(answers.map(({ status }) => status)).toEqual([503, 200, 200, 200, 200, 200, 200]);
    const explained = await scene.client.get('/api/v1/explain?name=hub/team/app-2&reference=v1');
    expect(explained.json()).not.toHaveProperty('breaker');
  });

  it('by HEAD, which the upstream refuses, does not fail those who ask by GET', async () => {
    const scene = await start({ credentials: right, tagTtlSeconds: 60 });
    scene.fault.auth = authOf('basic');
    await scene.client.get('/v2/hub/team/app-0/manifests/v1');
    clock.advance(61);
    scene.fault.fault('/team/app-0/', { method: 'HEAD', status: 403 });
    const paths = [0, 1, 2, 3].map((i) => `/v2/hub/team/app-${i}/manifests/v1`);
    const answers = await Promise.all(paths.map((path) => scene.client.get(path)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  it('that a 403 refuses is shown by explain', async () => {
    const scene = await start({ credentials: wrong });
    scene.fault.auth = { type: 'basic', ...right, forbids: true };
    await scene.client.get('/v2/hub/team/app-0/manifests/v1');
    const explained = await scene.client.get('/api/v1/explain?name=hub/team/app-0&reference=v1');
    expect(JSON.stringify(explained.json())).toContain('refuses our credentials (403)');
  });
});
