import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostIdentity } from '../../src/index.js';
import { basic, json, manage, pushImage, startAccess, type AccessScene } from '../support/access/access.js';
import { startRegistry } from '../support/servers/registry.js';
import { Cleanups } from '../support/upstreams/remote.js';
import { exchangeRaw, rawHead } from '../support/clients/raw.js';

// What a review of the access control found, each by the name of what went wrong.
const cleanups = new Cleanups();
afterAll(() => cleanups.run());

describe('stored credentials of an upstream went through a proxy that an administrator put in', () => {
  let scene: AccessScene;
  const document = { package_type: 'docker', repo_type: 'remote', url: 'http://upstream.example' };
  const credentials = { username: 'svc', password: 'S3CRET' };
  beforeAll(async () => {
    scene = await startAccess(cleanups, {
      users: ['root', 'keeper'],
      access: {
        rules: [
          { users: ['root'], allow: ['admin'] },
          { names: 'hub-*', users: ['keeper'], allow: ['admin'] },
        ],
      },
    });
  });

  it.each([
    [{ proxy: 'http://elsewhere.example' }, false],
    [{ ca: 'an authority of theirs' }, false],
    [{ url: 'http://elsewhere.example' }, false],
    [{ trusted_realms: ['elsewhere.example'] }, false],
    [{ allow_private_targets: ['10.0.0.1'] }, true],
    [{ description: 'changed' }, true],
  ])('replaced by %j it keeps them: %s', async (change, isKept) => {
    const name = `hub-${Object.keys(change).join()}`;
    await manage(scene.as(basic('root')), 'POST', 'repositories', { ...document, name, credentials });
    const body = JSON.stringify({ ...document, ...change });
    const answer = await scene.as(basic('keeper'))('PUT', `/api/v1/repositories/${name}`, { headers: json, body });
    expect([answer.status, (answer.json() as { has_credentials: boolean }).has_credentials]).toEqual([200, isKept]);
  });
});

describe('whoever did not log in shared one allowance with all others', () => {
  it('with a token for nobody, and with an empty password', async () => {
    const { ask, as, token } = await startAccess(cleanups, {
      access: { rules: [{ names: 'public', anonymous: true, allow: ['pull'] }] },
      limits: { maxRequestsPerMinutePerPrincipal: 2 },
    });
    const nobody = as(`Bearer ${await token('repository:public/app:pull')}`);
    for (const anyone of [nobody, as('Basic Og=='), ask]) {
      for (let i = 0; i < 4; i++) expect((await anyone('GET', '/v2/public/app/tags/list')).status).toBe(404);
    }
  });
});

describe('the groups of a host identity were searched as a text', () => {
  it.each<[unknown, number]>([
    [['admins'], 200],
    [['not-admins'], 403],
    [undefined, 403],
    [null, 403],
    ['not-admins', 500],
    [[1], 500],
  ])('groups %j: %i', async (groups, status) => {
    const { ask } = await startAccess(cleanups, {
      access: {
        authenticate: () => ({ id: 'eve', groups }) as HostIdentity,
        rules: [{ groups: ['admins'], allow: ['admin'] }],
      },
    });
    expect((await ask('GET', '/api/v1/keys')).status).toBe(status);
  });
});

describe('an open registry was administered through a proxy', () => {
  it.each(['Forwarded: for=203.0.113.5', 'X-Forwarded-For: 203.0.113.5', 'X-Real-IP: 203.0.113.5', 'Via: 1.1 proxy'])(
    'that adds %s',
    async (header) => {
      const server = await startRegistry();
      cleanups.add(() => server.close());
      const [name = '', value = ''] = header.split(': ');
      const ask = (headers: Record<string, string>) =>
        exchangeRaw(server.port, rawHead('GET', '/api/v1/repositories', { Host: 'localhost', ...headers }));
      expect((await ask({ [name]: value })).status).toBe(403);
      expect((await ask({})).status).toBe(200);
    },
  );
});

describe('the log told not who was made', () => {
  it('tells where it is', async () => {
    const { as, server } = await startAccess(cleanups, { access: { rules: [{ users: ['root'], allow: ['admin'] }] } });
    await manage(as(basic('root')), 'POST', 'accounts', { name: 'mallory' });
    const changed = server.log
      .filter(({ message }) => message === 'changed through the management API')
      .map(({ fields }) => fields);
    expect(changed).toEqual([
      expect.objectContaining({ principal: 'root', op: 'account.create', made: '/api/v1/accounts/mallory' }),
    ]);
  });
});

describe('a token server’s grant on a virtual repository opened its members', () => {
  it('is asked for each of them', async () => {
    const { generateKeyPair, exportSPKI, SignJWT } = await import('jose');
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const scene = await startAccess(cleanups, {
      repositories: [
        { name: 'private', type: 'local' },
        { name: 'all', type: 'virtual', members: ['private'], pushTo: 'private' },
      ],
      access: {
        tokenServer: {
          realm: 'https://auth.example/token',
          service: 'registry.example',
          issuer: 'auth.example',
          keys: [await exportSPKI(publicKey)],
        },
      },
    });
    const as = async (...names: string[]) => {
      const access = names.map((name) => ({ type: 'repository', name, actions: ['pull', 'push'] }));
      const token = await new SignJWT({ access })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer('auth.example')
        .setAudience('registry.example')
        .setSubject('ana')
        .setExpirationTime('5m')
        .sign(privateKey);
      return scene.as(`Bearer ${token}`);
    };
    const both = await as('all/app', 'private/app');
    await pushImage(both, 'all/app');
    const one = await as('all/app');
    expect((await both('GET', '/v2/all/app/manifests/v1')).status).toBe(200);
    expect((await one('GET', '/v2/all/app/manifests/v1')).status).toBe(404);
    expect((await one('POST', '/v2/all/app/blobs/uploads/')).status).toBe(401);
  });
});
