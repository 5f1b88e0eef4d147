import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { managementEndpoints } from '../../../src/protocol/tables/management.js';
import { endpoints } from '../../../src/protocol/tables/endpoints.js';
import {
  basic,
  comparable,
  json,
  pushImage,
  startAccess,
  type AccessScene,
  type Ask,
  type PushedImage,
} from '../../support/access/access.js';
import type { Answer, Method, Send } from '../../support/clients/client.js';
import { describeBytes, digest, manifestOf, types } from '../../support/content/content.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const users = ['root', 'outsider', 'viewer', 'member', 'pusher', 'half', 'target'];
const images = ['target/app', 'shared/app', 'secret/app', 'secret/only'];
const pushed = new Map<string, PushedImage>();
const pull = ['pull'] as const;
let scene: AccessScene;
let root: Ask;

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users,
    repositories: [
      ...['target', 'shared', 'secret', 'drop'].map((name) => ({
        name,
        type: 'local' as const,
        sparse: false,
      })),
      { name: 'all', type: 'virtual', members: ['secret', 'target', 'shared'], pushTo: 'target' },
      { name: 'outer', type: 'virtual', members: ['all', 'shared'] },
    ],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: ['all', 'shared', 'ghost', 'outer'], users: ['viewer'], allow: pull },
        { names: ['shared', 'outer'], users: ['member'], allow: pull },
        { names: ['all', 'target', 'shared', 'ghost', 'outer'], users: ['pusher'], allow: ['pull', 'push', 'delete'] },
        { names: 'all', users: ['half'], allow: ['pull', 'push', 'delete'] },
        { names: 'target', users: ['target'], allow: ['pull', 'push', 'delete'] },
        { names: 'drop', anonymous: true, allow: ['pull', 'push'] },
      ],
    },
  });
  root = scene.as(basic('root'));
  for (const name of images) pushed.set(name, await pushImage(root, name));
  await pushImage(root, 'secret/app', 'hidden', 'hidden');
});
afterAll(() => cleanups.run());

const blobOf = (name: string): string => pushed.get(name)?.digest ?? '';
const manifestDigestOf = (name: string): string => pushed.get(name)?.manifest.digest ?? '';
const statusOf = async (answer: Promise<Answer>): Promise<number> => (await answer).status;

describe('a hidden name is answered like one that does not exist', () => {
  const known = { name: 'secret/app', repository: 'secret' };
  const unknown = { name: 'nosuch/app', repository: 'nosuch' };
  const rows = [...endpoints, ...managementEndpoints].filter(({ path }) => /:name|:repository/.test(path));
  const paths: [method: Method, path: string][] = [
    ...rows.map(({ method, path }): [Method, string] => [method, path]),
    ['GET', '/v2/:name/manifests/v1?ns=quay.io'],
    ['POST', '/v2/:name/blobs/uploads/?mount=:digest&from=shared/app'],
    ['GET', '/api/v1/explain?name=:name&reference=v1'],
    ['GET', '/api/v1/repositories/:repository/images/app/tags'],
  ];

  it.each(['nobody', 'outsider', 'outsider by token', 'viewer', 'viewer by token'])('to %s', async (caller) => {
    const user = caller.split(' ')[0] ?? '';
    const authorization = caller.endsWith('by token')
      ? `Bearer ${await scene.token([`repository:${known.name}:*`, `repository:${unknown.name}:*`], basic(user))}`
      : basic(user);
    const ask = caller === 'nobody' ? scene.ask : scene.as(authorization);
    for (const [method, path] of paths) {
      const session = '00000000-0000-4000-8000-000000000000';
      const params = { reference: 'v1', digest: blobOf('secret/app'), session, image: 'app' };
      const send: Send = { headers: json, body: method === 'GET' || method === 'HEAD' ? '' : '{}' };
      const [one, other] = await Promise.all(
        [known, unknown].map(async ({ name, repository }) => {
          const values: Record<string, string> = { ...params, name, repository };
          // Not `buildPath`: some of the placeholders are in a query.
          const place = path.replace(/:([a-z]+)/g, (placeholder, key: string) => values[key] ?? placeholder);
          const answer = await ask(method, place, send);
          expect(answer.status).toBeGreaterThanOrEqual(401);
          expect(answer.status).toBeLessThanOrEqual(404);
          return comparable(answer, name, repository);
        }),
      );
      expect(one, `${method} ${path}`).toEqual(other);
    }
  });

  it('in the scope of a token request', async () => {
    for (const { name } of [known, unknown]) {
      const answer = await scene.as(basic('viewer'))('GET', `/v2/token?scope=repository:${name}:pull,push`);
      expect([answer.status, answer.json()]).toEqual([200, expect.objectContaining({ scope: '' })]);
    }
  });

  it('as the source of a mount', async () => {
    const mount = (ask: Ask, to: string, from: string, blob = blobOf(from)): Promise<number> =>
      statusOf(ask('POST', `/v2/${to}/blobs/uploads/?mount=${blob}${from === '' ? '' : `&from=${from}`}`));
    const pusher = scene.as(basic('pusher'));
    const secret = blobOf('secret/app');
    expect(await mount(pusher, 'target/to', 'shared/app')).toBe(201);
    expect(await mount(pusher, 'target/to', 'secret/app')).toBe(202);
    expect(await mount(pusher, 'target/to', 'nosuch/app', secret)).toBe(202);
    expect(await mount(pusher, 'target/to', 'all/app', secret)).toBe(202);
    expect(await mount(pusher, 'target/to', '', secret)).toBe(202);
    expect(await mount(scene.ask, 'drop/to', 'shared/app')).toBe(202);
    expect(await mount(scene.ask, 'drop/to', '', blobOf('shared/app'))).toBe(202);
    await pushImage(scene.ask, 'drop/from');
    expect(await mount(scene.ask, 'drop/to', 'drop/from', digest('layer of drop/from'))).toBe(201);
    expect(await mount(scene.ask, 'drop/to2', '', digest('layer of drop/from'))).toBe(201);
  });

  it('as the source of a mount by a token without a grant for it', async () => {
    const shared = blobOf('shared/app');
    const mount = async (...scopes: string[]): Promise<number[]> => {
      const ask = scene.as(`Bearer ${await scene.token(scopes, basic('pusher'))}`);
      const start = `/v2/target/by-token-${scopes.length}/blobs/uploads/?mount=${shared}`;
      return [await statusOf(ask('POST', start)), await statusOf(ask('POST', `${start}&from=shared/app`))];
    };
    const scope = (name: string): string => `repository:target/by-token-${name}:pull,push`;
    expect(await mount(scope('1'))).toEqual([202, 202]);
    expect(await mount(scope('2'), 'repository:shared/app:pull')).toEqual([201, 201]);
  });

  it('in a manifest that names a blob of another image', async () => {
    const put = async (blob: Buffer): Promise<object> => {
      const manifest = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, blob), layers: [] });
      const send = { headers: { 'Content-Type': manifest.type }, body: manifest.bytes };
      const answer = await scene.as(basic('pusher'))('PUT', '/v2/all/app/manifests/stolen', send);
      expect([answer.status, answer.codes]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
      return comparable(answer, digest(blob));
    };
    const secret = pushed.get('secret/app')?.blob ?? Buffer.of();
    expect(await put(secret)).toEqual(await put(Buffer.from('nowhere')));
  });

  it('in lists, and in errors that name repositories', async () => {
    const viewer = scene.as(basic('viewer'));
    expect((await viewer('GET', '/v2/_catalog')).json()).toEqual({
      repositories: ['all/app', 'drop/from', 'outer/app', 'shared/app'],
    });
    const { repositories } = (await viewer('GET', '/api/v1/repositories')).json() as {
      repositories: { name: string }[];
    };
    expect(repositories.map(({ name }) => name)).toEqual(['all', 'drop', 'outer', 'shared']);
    expect(repositories.flatMap(Object.keys).sort()).not.toContain('members');
    const missing = await viewer('GET', '/v2/ghost/app/tags/list');
    expect([missing.status, missing.codes]).toEqual([404, ['NAME_UNKNOWN']]);
    expect(missing.body.toString()).toContain('"repositories":["all","drop","outer","shared"]');
    const refused = await scene.as(basic('pusher'))('PUT', '/v2/outer/app/manifests/v1');
    expect([refused.status, refused.codes]).toEqual([405, ['UNSUPPORTED']]);
    expect(refused.body.toString()).toContain('push to one of all, drop, shared, target"');
  });
});

describe('a virtual repository', () => {
  it.each<[user: string, path: string, expected: unknown]>([
    ['root', 'all/app/manifests/v1', 'secret/app'],
    ['viewer', 'all/app/manifests/v1', 'shared/app'],
    ['pusher', 'all/app/manifests/v1', 'target/app'],
    ['half', 'all/app/manifests/v1', 404],
    ['member', 'all/app/manifests/v1', 403],
    ['viewer', 'all/only/manifests/v1', 404],
    ['root', 'all/only/manifests/v1', 'secret/only'],
    ['viewer', 'all/only/tags/list', 404],
    ['viewer', 'outer/app/manifests/v1', 'shared/app'],
    ['member', 'outer/app/manifests/v1', 'shared/app'],
    ['member', 'outer/only/manifests/v1', 404],
    ['half', 'outer/app/manifests/v1', 403],
  ])('answers %s for %s with %s', async (user, path, expected) => {
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await scene.as(basic(user))(method, `/v2/${path}`);
      const found = images.find((name) => manifestDigestOf(name) === answer.header('docker-content-digest'));
      expect(found ?? answer.status).toBe(expected);
      expect(answer.header('x-cache-repository')).not.toBe(user === 'root' ? '' : 'secret');
    }
  });

  it('shows only those images of its members that the caller may pull', async () => {
    const viewer = scene.as(basic('viewer'));
    const tags = async (ask: Ask): Promise<unknown> => (await ask('GET', '/v2/all/app/tags/list')).json();
    expect(await tags(viewer)).toEqual({ name: 'all/app', tags: ['v1'] });
    expect(await tags(root)).toEqual({ name: 'all/app', tags: ['hidden', 'v1'] });
    for (const ask of [viewer, scene.as(basic('member'))]) {
      for (const repository of ['all', 'outer']) {
        const got = await ask('HEAD', `/v2/${repository}/app/blobs/${blobOf('secret/app')}`);
        expect(got.status).toBe(ask !== viewer && repository === 'all' ? 403 : 404);
      }
    }
    const explained = await viewer('GET', '/api/v1/explain?name=all/app&reference=v1');
    expect(explained.json()).toMatchObject({ answer: 'stored', members: [{ repository: 'shared' }] });
    const outer = await scene.as(basic('member'))('GET', '/api/v1/explain?name=outer/only&reference=v1');
    expect(outer.json()).toMatchObject({ answer: 'absent', members: [{ repository: 'shared' }] });
    for (const answer of [explained, outer]) expect(answer.body.toString()).not.toMatch(/secret|target/);
  });

  it.each<[user: string, onVirtual: number, onTarget: number]>([
    ['viewer', 403, 403],
    ['half', 403, 403],
    ['target', 403, 202],
    ['pusher', 202, 202],
  ])(
    'accepts writes of %s only with permission for itself and its target: %i, %i',
    async (user, onVirtual, onTarget) => {
      const ask = scene.as(basic(user));
      const scopes = (name: string): string => `repository:${name}:*`;
      const byToken = scene.as(`Bearer ${await scene.token([scopes('all/app'), scopes('target/app')], basic(user))}`);
      for (const [repository, expected] of [
        ['all', onVirtual],
        ['target', onTarget],
      ] as const) {
        expect(await statusOf(ask('POST', `/v2/${repository}/app/blobs/uploads/`))).toBe(expected);
        const whenRefused = expected === 403 ? 401 : expected;
        expect(await statusOf(byToken('POST', `/v2/${repository}/app/blobs/uploads/`))).toBe(whenRefused);
        await pushImage(root, 'target/app', `fresh ${user}`, 'fresh');
        expect(await statusOf(ask('DELETE', `/v2/${repository}/app/manifests/fresh`))).toBe(expected);
      }
    },
  );

  it('hides upload sessions of its target from users without permission for the target', async () => {
    const started = await scene.as(basic('pusher'))('POST', '/v2/all/app/blobs/uploads/');
    const path = started.header('location');
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE'] as const) {
      expect(await statusOf(scene.as(basic('half'))(method, path))).toBe(403);
      expect(await statusOf(scene.ask(method, path.replace('all/app', 'drop/app')))).toBe(method === 'PUT' ? 400 : 404);
    }
    expect(await statusOf(scene.as(basic('pusher'))('GET', path))).toBe(204);
  });
});
