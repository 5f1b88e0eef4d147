import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { imageManifest } from '../../support/content/content.js';
import { listen, startMemoryRegistry } from '../../support/servers/registry.js';
import type { FaultAuth } from '../../support/upstreams/fault-upstream.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const robot = { username: 'robot$team+puller', password: 'pä:ss' };

async function start(): Promise<RemoteScene> {
  const credentials = robot;
  const scene = await startRemote(
    cleanups,
    { credentials },
    {
      others: (url) => [
        { name: 'through', type: 'remote', url, cache: false, credentials },
        { name: 'behind', type: 'remote', url, cache: false, credentials },
        { name: 'all', type: 'virtual', members: ['behind'] },
      ],
    },
  );
  scene.fault.images.addImage('team/app', 'v1');
  scene.fault.auth = { type: 'token', users: { [robot.username]: robot.password } };
  return scene;
}

type Change = (scene: RemoteScene) => void;
const challenge =
  (build: (realm: string) => string | string[]): Change =>
  ({ fault }) => {
    const header = build(`${fault.url}/token`);
    fault.fault('/manifests/', { times: 1, status: 401, headers: { 'www-authenticate': header as string } });
  };
const change =
  (auth: object): Change =>
  ({ fault }) =>
    void (fault.auth = { ...(fault.auth as Extract<FaultAuth, { type: 'token' }>), ...auth });

/** What registries do, as their documentation and users report. */
const oddities: [string, Change][] = [
  ['a robot account with special characters (Harbor, quay.io)', () => {}],
  ['an unquoted, lower-case challenge', challenge((url) => `bearer realm=${url},service=fault`)],
  [
    'Basic and Bearer in one header (Artifactory)',
    challenge((url) => `Basic realm="Artifactory", Bearer realm="${url}",service="x"`),
  ],
  [
    'Basic and Bearer in two headers (Nexus)',
    challenge((url) => ['Basic realm="Nexus"', `Bearer realm="${url}",service="x"`]),
  ],
  ['a realm with a query of its own (GitLab)', challenge((url) => `Bearer realm="${url}?client=docker",service="x"`)],
  [
    'an error in the challenge (Docker Hub)',
    challenge((url) => `Bearer realm="${url}",scope="repository:team/app:pull",error="invalid_token"`),
  ],
  [
    'several actions in the scope (GitLab)',
    challenge((url) => `Bearer realm="${url}",scope="repository:team/app:pull,push"`),
  ],
  ['access_token instead of token (ACR)', change({ field: 'access_token' })],
  [
    'a realm that redirects to a slash',
    ({ fault }) => {
      const query = 'service=fault+upstream&scope=repository%3Ateam%2Fapp%3Apull';
      const headers = { location: `/token/?${query}` };
      fault.fault(/^\/token\?/, { at: 'token', times: 1, status: 301, headers });
    },
  ],
  ['a token that has already expired', change({ expiresIn: 0 })],
];

describe.each(['hub', 'through', 'all'])('"%s" pulls from a registry with', (name) => {
  it.each(oddities)('%s', async (_title, prepare) => {
    const scene = await start();
    prepare(scene);
    const answer = await scene.client.get(`/v2/${name}/team/app/manifests/v1`);
    expect([answer.status, answer.status === 200 ? '' : answer.body.toString()]).toEqual([200, '']);
  });

  it('a token realm that limits the rate: 429 with its Retry-After', async () => {
    const { fault, client } = await start();
    fault.fault('/token', { at: 'token', status: 429, headers: { 'retry-after': '9' } });
    const answer = await client.get(`/v2/${name}/team/app/manifests/v1`);
    expect([answer.status, answer.codes, answer.header('retry-after')]).toEqual([429, ['TOOMANYREQUESTS'], '9']);
  });
});

describe.each<[string, string]>([
  ['a lifetime that is a text', '{"token":"of-the-realm","expires_in":"3600"}'],
  ['a byte order mark', '\uFEFF{"token":"of-the-realm"}'],
  ['an empty token beside access_token', '{"token":"","access_token":"of-the-realm"}'],
  [
    'null for what it does not know',
    '{"token":"of-the-realm","expires_in":null,"issued_at":null,"refresh_token":null}',
  ],
])('a token with %s', (_title, body) => {
  it.each([true, false])('is used, with cache: %s', async (cache) => {
    const { type, bytes } = imageManifest('v1');
    const upstream = await listen((req, res) => {
      if (req.url?.startsWith('/token') === true) return res.end(body);
      if (req.headers.authorization === 'Bearer of-the-realm') return res.setHeader('Content-Type', type).end(bytes);
      return res.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${upstream.url}/token"` }).end();
    });
    cleanups.add(() => upstream.close());
    const server = await startMemoryRegistry({
      repositories: [{ name: 'hub', type: 'remote', url: upstream.url, cache }],
    });
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(200);
  });
});
