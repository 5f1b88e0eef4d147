import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  basic,
  json,
  pushImage,
  startAccess,
  type AccessScene,
  type PushedImage,
} from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const writes = ['pull', 'push', 'delete'] as const;
let scene: AccessScene;
let one: PushedImage;
let two: PushedImage;

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'owner', 'half', 'ci'],
    repositories: [
      { name: 'fixed', type: 'local', immutableTags: ['v*'] },
      { name: 'all', type: 'virtual', members: ['fixed'], pushTo: 'fixed' },
    ],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: 'fixed', users: ['owner'], allow: ['admin'] },
        { names: 'all', users: ['owner', 'half', 'ci'], allow: writes },
        { names: 'all', users: ['half'], allow: ['admin'] },
        { names: 'fixed', users: ['half', 'ci'], allow: writes },
      ],
    },
  });
});
beforeEach(async () => {
  const root = scene.as(basic('root'));
  // Each test finds v1 as one, v2 and latest as two.
  await post('root', 'fixed', 'delete', { all: true, override: true });
  one = await pushImage(root, 'fixed/app', 'one', 'v1');
  two = await pushImage(root, 'fixed/app', 'two', 'v2');
  await post('root', 'fixed', 'tag', { tag: 'latest', reference: 'v2' });
});
afterAll(() => cleanups.run());

const post = (user: string, repository: string, operation: string, document: object): Promise<Answer> =>
  scene.as(basic(user))('POST', `/api/v1/repositories/${repository}/images/app/${operation}`, {
    headers: json,
    body: JSON.stringify(document),
  });
const tags = async (): Promise<unknown> =>
  ((await scene.as(basic('root'))('GET', '/v2/fixed/app/tags/list')).json() as { tags?: unknown }).tags;
const changes = async (): Promise<readonly (readonly unknown[])[]> => {
  const answer = await scene.as(basic('root'))('GET', '/api/v1/events?types=tag.moved&types=tag.deleted&n=2');
  const { events } = answer.json() as { events: readonly Record<string, unknown>[] };
  return events.map(({ type, tag, override }) => [type, tag, override]);
};

describe('the override of immutable tags', () => {
  const remove = { tags: ['v1'], override: true };
  const move = { tag: 'v1', reference: 'v2', override: true };

  it.each<[user: string, repository: string, operation: string, document: object, needed: string]>([
    ['ci', 'fixed', 'delete', remove, 'fixed'],
    ['ci', 'fixed', 'delete', { ...remove, dry_run: true }, 'fixed'],
    ['ci', 'fixed', 'delete', { all: true, override: true }, 'fixed'],
    ['ci', 'fixed', 'delete', { tags: ['latest'], override: true }, 'fixed'],
    ['ci', 'fixed', 'tag', move, 'fixed'],
    ['ci', 'all', 'delete', remove, 'all'],
    ['ci', 'all', 'tag', move, 'all'],
    ['half', 'all', 'delete', remove, 'fixed'],
    ['half', 'all', 'tag', move, 'fixed'],
    ['owner', 'all', 'tag', move, 'all'],
  ])('is refused to %s in POST %s/images/app/%s %j for lack of admin in %s', async (...row) => {
    const [user, repository, operation, document, needed] = row;
    const answer = await post(user, repository, operation, document);
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
    expect(answer.json()).toMatchObject({ errors: [{ detail: { repository: needed, required: 'admin' } }] });
    expect(await tags()).toEqual(['latest', 'v1', 'v2']);
  });

  it.each<[operation: string, document: object]>([
    ['delete', { tags: ['v1'], override: 'yes' }],
    ['tag', { ...move, override: 1 }],
  ])('POST %s %j is refused with 400', async (operation, document) => {
    const answer = await post('root', 'fixed', operation, document);
    expect([answer.status, answer.codes]).toEqual([400, ['OPTIONS_INVALID']]);
  });

  it.each(['root', 'owner'])('%s moves an immutable tag, and only that move is marked', async (user) => {
    expect((await post(user, 'fixed', 'tag', { ...move, override: false })).status).toBe(403);
    const moved = await post(user, 'fixed', 'tag', move);
    expect(moved.json()).toEqual({ tag: 'v1', digest: two.manifest.digest, was: one.manifest.digest });
    await post(user, 'fixed', 'tag', { tag: 'v3', reference: 'v2', override: true });
    expect(await changes()).toEqual([
      ['tag.moved', 'v3', undefined],
      ['tag.moved', 'v1', true],
    ]);
  });

  it('an administrator deletes immutable tags with what they name, through a virtual repository too', async () => {
    const preview = await post('root', 'all', 'delete', { ...remove, dry_run: true });
    expect(preview.json()).toMatchObject({ tags: [{ tag: 'v1' }], refused: [], counts: { manifests: 1 } });
    expect((await post('root', 'all', 'delete', remove)).json()).toMatchObject({ counts: { tags: 1, manifests: 1 } });
    expect(await tags()).toEqual(['latest', 'v2']);
  });

  it('of several deleted tags, only the immutable ones are marked', async () => {
    const report = await post('owner', 'fixed', 'delete', { tags: ['latest', 'v1'], override: true });
    expect(report.json()).toMatchObject({ counts: { tags: 2, manifests: 1, refused: 0 } });
    // The manifests go first, then the tags of what stays.
    expect(await changes()).toEqual([
      ['tag.deleted', 'latest', undefined],
      ['tag.deleted', 'v1', true],
    ]);
  });
});
