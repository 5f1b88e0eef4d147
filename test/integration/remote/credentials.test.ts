import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cleanups, MovableClock, startRemote, type RemoteOptions } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const path = '/v2/hub/team/app';
const secret = 'Tr0ub4dor&3';
const mine = { username: 'robot', password: secret };
const api = '/api/v1/repositories';
const json = { 'Content-Type': 'application/json' };

describe('configured credentials', () => {
  it.each<[string, RemoteOptions['credentials'], 'basic' | 'token']>([
    ['a password with Basic', mine, 'basic'],
    ['a password with the realm’s tokens', mine, 'token'],
    ['a callback with Basic', () => Promise.resolve(mine), 'basic'],
    ['a callback with tokens', () => Promise.resolve(mine), 'token'],
  ])('are used by a cache and by a pass-through: %s', async (_title, credentials = mine, type) => {
    const { fault, client } = await startRemote(
      cleanups,
      { credentials },
      { others: (url) => [{ name: 'through', type: 'remote', url, cache: false, credentials }] },
    );
    fault.auth = type === 'basic' ? { type, ...mine } : { type, users: { robot: secret } };
    const { manifest, layers } = fault.images.addImage('team/app', 'v1');
    for (const name of ['hub', 'through']) {
      const answer = await client.get(`/v2/${name}/team/app/manifests/v1`, { Authorization: 'Basic b3VyOmNsaWVudA==' });
      expect([answer.status, answer.body.equals(manifest.bytes)]).toEqual([200, true]);
      const blob = await client.get(`/v2/${name}/team/app/blobs/${layers[0]?.digest}`);
      expect(blob.body.equals(layers[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
    }
    expect(fault.requests.some(({ headers }) => headers.authorization === 'Basic b3VyOmNsaWVudA==')).toBe(false);
  });

  it('cause one token request for 20 concurrent requests, and one renewal', async () => {
    const { fault, client } = await startRemote(cleanups, { credentials: mine, tagTtlSeconds: 0 });
    fault.auth = { type: 'token', users: { robot: secret } };
    for (let i = 0; i < 20; i++) fault.images.addImage('team/app', `v${i}`);
    const all = () => Promise.all(Array.from({ length: 20 }, (_, i) => client.get(`${path}/manifests/v${i}`)));
    expect((await all()).every(({ status }) => status === 200)).toBe(true);
    expect(fault.count('/token')).toBe(1);
    fault.revokeTokens();
    expect((await all()).every(({ status }) => status === 200)).toBe(true);
    expect(fault.count('/token')).toBe(2);
  });

  it('count as an upstream failure when refused: stale content or 503, never 401 or 404', async () => {
    const { fault, client } = await startRemote(cleanups, {
      credentials: { username: 'robot', password: 'wrong' },
      tagTtlSeconds: 0,
    });
    fault.images.addImage('team/app', 'v1');
    await client.get(`${path}/manifests/v1`);
    fault.auth = { type: 'basic', ...mine };
    const stale = await client.get(`${path}/manifests/v1`);
    expect([stale.status, stale.header('x-cache')]).toEqual([200, 'stale']);
    const refused = await client.get(`${path}/manifests/v2`);
    expect([refused.status, refused.codes, refused.header('www-authenticate')]).toEqual([503, ['UNAVAILABLE'], '']);
  });

  it('are never sent to the realm of another host', async () => {
    const { fault, client } = await startRemote(cleanups, { credentials: mine });
    fault.images.addImage('team/app', 'v1');
    fault.auth = { type: 'token', realm: 'http://realm.invalid/token' };
    const answer = await client.get(`${path}/manifests/v1`);
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).not.toContain(secret);
  });
});

describe('secrets', () => {
  it('are stored but never shown, and kept when a document without them is written back', async () => {
    const { fault, client } = await startRemote(cleanups);
    fault.auth = { type: 'basic', ...mine };
    fault.images.addImage('team/app', 'v1');
    const document = { name: 'made', package_type: 'docker', repo_type: 'remote', url: fault.url, credentials: mine };
    const created = await client.post(api, { headers: json, body: JSON.stringify(document) });
    expect(created.status).toBe(201);
    const shown = await client.get(`${api}/made`);
    const answers = [created, shown, await client.get(api)];
    const put = (body: unknown) => client.put(`${api}/made`, { headers: json, body: JSON.stringify(body) });
    const replaced = await put({ ...(shown.json() as object), description: 'edited' });
    expect([replaced.status, (replaced.json() as { has_credentials: boolean }).has_credentials]).toEqual([200, true]);
    answers.push(replaced);
    for (const { body } of answers) expect(body.toString()).not.toContain(secret);
    expect((await client.get('/v2/made/team/app/manifests/v1')).status).toBe(200);
    const dropped = await put({ ...(shown.json() as object), credentials: null });
    expect((dropped.json() as { has_credentials: boolean }).has_credentials).toBe(false);
    expect((await client.get('/v2/made/team/app/manifests/v2')).status).toBe(503);
  });

  it('do not appear in log lines, errors or events when something fails', async () => {
    const events: string[] = [];
    const { fault, server, client } = await startRemote(
      cleanups,
      { credentials: mine, responseTimeoutSeconds: 0.2 },
      {
        others: (url) => [
          { name: 'through', type: 'remote', url, cache: false, credentials: mine, responseTimeoutSeconds: 0.2 },
        ],
      },
    );
    for (const name of ['request', 'cache.answered', 'cache.filled'] as const) {
      server.registry.events.on(name, (event: object) => void events.push(JSON.stringify(event)));
    }
    const { layers } = fault.images.addImage('team/app', 'v1', [50_000]);
    const bodies: string[] = [];
    const strikes = [{ hang: true }, { reset: true }, { status: 500 }, { status: 401 }, { wrongBytes: true }];
    for (const [i, strike] of strikes.entries()) {
      fault.auth = i % 2 === 0 ? { type: 'basic', ...mine } : { type: 'token', users: { robot: 'another' } };
      const remove = fault.fault('/v2/', strike);
      for (const name of ['hub', 'through']) {
        for (const what of ['manifests/v1', `blobs/${layers[0]?.digest}`, 'tags/list']) {
          const answer = await client.get(`/v2/${name}/team/app/${what}`).catch(() => undefined);
          bodies.push(JSON.stringify(answer?.headers ?? {}) + (answer?.body.toString('latin1') ?? ''));
        }
      }
      remove();
      clock.advance(100);
    }
    const encoded = Buffer.from(`robot:${secret}`).toString('base64');
    const logged = server.log.map(({ fields, message }) => message + show(fields));
    expect(logged.length).toBeGreaterThan(0);
    for (const text of [...bodies, ...logged, ...events]) {
      for (const hidden of [secret, encoded, 'Bearer ']) expect(text).not.toContain(hidden);
    }
  });
});

/** Returns everything printable, including errors and their causes. */
function show(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    item instanceof Error
      ? { ...Object.fromEntries(Object.entries(item)), message: item.message, stack: item.stack, cause: item.cause }
      : item,
  );
}
