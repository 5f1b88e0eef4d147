import { afterEach, describe, expect, it } from 'vitest';
import { Cleanups, startRemote, type RemoteOptions, type RemoteScene } from '../../support/upstreams/remote.js';
import { readTestCertificate, startFaultUpstream } from '../../support/upstreams/fault-upstream.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const names = ['hub', 'through', 'all'] as const;
const mine = { username: 'robot', password: 'secret' };

/** A cache `hub`, a pass-through `through` and a virtual repository of a pass-through, `all`. */
async function start(options: RemoteOptions & { readonly url?: string } = {}): Promise<RemoteScene> {
  const scene = await startRemote(cleanups, options, {
    others: (url) => [
      { name: 'through', type: 'remote', url, cache: false, ...options },
      { name: 'behind', type: 'remote', url, cache: false, ...options },
      { name: 'all', type: 'virtual', members: ['behind'] },
    ],
  });
  scene.fault.images.addImage('team/app', 'v1', [1000]);
  return scene;
}

const path = (name: string): string => `/v2/${name}/team/app/manifests/v1`;

describe.each(names)('the scope of a challenge, in "%s"', (name) => {
  it('is not taken from the answer to a ping', async () => {
    const { fault, client } = await start();
    fault.auth = { type: 'token', pingScope: 'repository:user/image:pull' };
    for (let i = 0; i < 2; i++) expect((await client.get(path(name))).status).toBe(200);
    expect(fault.requestsFor('/token').some(({ path: asked }) => asked.includes('user%2Fimage'))).toBe(false);
  });

  it('is replaced when a token is renewed', async () => {
    const { fault, client } = await start();
    fault.auth = { type: 'token', scope: 'repository:team/app:pull' };
    expect((await client.get(path(name))).status).toBe(200);
    fault.images.addImage('team/app', 'v2');
    fault.revokeTokens();
    fault.auth = { type: 'token', scope: 'repository:team/app:pull,metadata' };
    expect((await client.get(`/v2/${name}/team/app/manifests/v2`)).status).toBe(200);
    expect(fault.requestsFor('/token').at(-1)?.path).toContain('pull%2Cmetadata');
  });

  it('is that of the image when it is empty', async () => {
    const { fault, client } = await start();
    fault.auth = { type: 'token', scope: '' };
    expect((await client.get(path(name))).status).toBe(200);
    expect(
      fault.requestsFor('/token').every(({ path: asked }) => asked.includes('repository%3Ateam%2Fapp%3Apull')),
    ).toBe(true);
  });
});

describe.each(names)('an upstream that hides private images from anonymous users, in "%s"', (name) => {
  it.each([
    ['basic', 404],
    ['token', 404],
    ['basic', 403],
    ['token', 401],
  ] as const)('gets the configured credentials, with %s after a %i without a challenge', async (type, hides) => {
    const { fault, client } = await start({ credentials: mine, negativeTtlSeconds: 0 });
    fault.auth =
      type === 'basic'
        ? { type, ...mine, hides }
        : { type, users: { robot: 'secret' }, hides, pingScope: 'repository:user/image:pull' };
    expect((await client.get(path(name))).status).toBe(200);
    expect((await client.get(`/v2/${name}/team/app/manifests/none`)).status).toBe(404);
    expect(fault.count(/^\/v2\/$/)).toBe(1);
  });

  it('is not asked for authentication again when its ping needs none', async () => {
    const { fault, client } = await start({ credentials: mine, negativeTtlSeconds: 0 });
    for (let i = 0; i < 3; i++) expect((await client.get(`/v2/${name}/team/app/manifests/none`)).status).toBe(404);
    expect(fault.count(/^\/v2\/$/)).toBe(1);
  });
});

describe.each(names)('an https upstream whose answers name http URLs of its own, in "%s"', (name) => {
  it('is asked over https: redirects and the token realm', async () => {
    const secure = await startFaultUpstream({ tls: true });
    cleanups.add(() => secure.close());
    const { client } = await start({ url: secure.url, ca: readTestCertificate().cert, credentials: mine });
    const { layers } = secure.images.addImage('team/app', 'v1', [1000]);
    const plain = secure.url.replace('https:', 'http:');
    secure.auth = { type: 'token', users: { robot: 'secret' }, realm: `${plain}/token` };
    secure.fault('/blobs/', { redirect: { to: `${plain}/v2/team/app/blobs/${layers[0]?.digest}?again` } });
    secure.fault('?again', {});
    expect((await client.get(path(name))).status).toBe(200);
    const blob = await client.get(`/v2/${name}/team/app/blobs/${layers[0]?.digest}`);
    expect([blob.status, blob.body.length]).toEqual([200, 1000]);
  });
});

describe.each(names)('a redirect to another registry, in "%s"', (name) => {
  it.each([
    ['manifests', true],
    ['blobs', true],
    ['blobs', false],
  ] as const)(
    'is followed with an anonymous token of that registry: %s, scope in the challenge: %s',
    async (kind, isScoped) => {
      const other = await startFaultUpstream();
      cleanups.add(() => other.close());
      const { fault, client } = await start({ credentials: mine });
      fault.auth = { type: 'token', users: { robot: 'secret' } };
      const { layers } = other.images.addImage('team/app', 'v1', [1000]);
      other.auth = {
        type: 'token',
        users: { robot: 'secret' },
        open: ['team/app'],
        ...(isScoped ? {} : { scope: null }),
      };
      const rest = kind === 'manifests' ? 'manifests/v1' : `blobs/${layers[0]?.digest}`;
      fault.fault(`/${kind}/`, { redirect: { to: `${other.url}/v2/team/app/${rest}` } });
      for (let i = 0; i < 2; i++) expect((await client.get(`/v2/${name}/team/app/${rest}`)).status).toBe(200);
      expect(other.count('/token')).toBeGreaterThan(0);
      const basic = other.requests.filter(({ headers }) => headers.authorization?.startsWith('Basic') === true);
      expect(basic).toEqual([]);
      other.auth = { type: 'token', users: { robot: 'secret' }, open: [] };
      other.revokeTokens();
      fault.images.addImage('team/app', 'v9');
      fault.fault('/v9', { redirect: { to: `${other.url}/v2/team/app/${rest}` } });
      const refused = await client.get(`/v2/${name}/team/app/manifests/v9`);
      expect([refused.status, refused.codes]).toEqual([503, ['UNAVAILABLE']]);
    },
  );
});

describe.each(names)('a realm in another domain, in "%s"', (name) => {
  it('is refused the password, and the error names the option that allows it', async () => {
    const { fault, client } = await start({ credentials: mine });
    fault.auth = { type: 'token', realm: 'http://realm.invalid/token' };
    const answer = await client.get(path(name));
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).toContain('trustedRealms');
    expect(answer.body.toString()).not.toContain('secret');
  });
});

describe.each(names)('credentials that expire while they are in use, in "%s"', (name) => {
  it.each([401, 403])('are renewed once by the callback after a %i', async (status) => {
    let password = 'first';
    let calls = 0;
    const credentials = () => {
      calls += 1;
      return Promise.resolve({ username: 'AWS', password });
    };
    const { fault, client } = await start({ credentials });
    const auth = () => ({ type: 'basic', username: 'AWS', password, forbids: status === 403 }) as const;
    fault.auth = auth();
    expect((await client.get(path(name))).status).toBe(200);
    password = 'second';
    fault.auth = auth();
    fault.images.addImage('team/app', 'v2');
    expect((await client.get(`/v2/${name}/team/app/manifests/v2`)).status).toBe(200);
    expect(calls).toBe(2);
  });
});

describe.each(names)('a blob whose size the upstream does not report, in "%s"', (name) => {
  it('is sent whole', async () => {
    const { fault, client } = await start();
    const bytes = Buffer.from('content of unknown length'.repeat(10_000));
    const digest = fault.images.addBlob('team/app', bytes);
    fault.fault('/blobs/', { noLength: true });
    const blob = await client.get(`/v2/${name}/team/app/blobs/${digest}`);
    expect([blob.status, blob.body.equals(bytes)]).toEqual([200, true]);
    expect((await client.head(`/v2/${name}/team/app/blobs/${digest}`)).status).toBe(200);
  });
});

describe.each(names)('an upstream that explains why it does not answer, in "%s"', (name) => {
  it.each([410, 451])('%i counts as absent', async (status) => {
    const { fault, client } = await start();
    fault.fault('/manifests/', { status });
    const answer = await client.get(path(name));
    expect([answer.status, answer.codes]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    if (name === 'through') expect(answer.body.toString()).toContain(`it answered ${status}`);
  });

  it('passes the Retry-After of a 503 on', async () => {
    const { fault, client } = await start();
    fault.fault('/manifests/', { status: 503, headers: { 'retry-after': '7' } });
    const answer = await client.get(path(name));
    expect([answer.status, answer.codes, answer.header('retry-after')]).toEqual([503, ['UNAVAILABLE'], '7']);
  });
});
