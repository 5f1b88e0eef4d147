import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, manage, pushImage, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let scene: AccessScene;
let root: Ask;

interface Shown {
  readonly type: string;
  readonly by: { readonly principal: string; readonly via: string };
  readonly [field: string]: unknown;
}

async function events(query: string): Promise<readonly Shown[]> {
  const answer = await scene.as(basic('watcher'))('GET', `/api/v1/events?${query}`);
  expect(answer.status, answer.body.toString()).toBe(200);
  return (answer.json() as { events: Shown[] }).events;
}

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'writer', 'watcher'],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['watcher'], allow: ['monitor'] },
        { names: 'local', users: ['writer'], allow: ['pull', 'push', 'delete'] },
      ],
    },
  });
  root = scene.as(basic('root'));
});
afterAll(() => cleanups.run());

describe('GET /api/v1/events', () => {
  it('shows who pushed, moved and deleted what', async () => {
    const writer = scene.as(basic('writer'));
    const first = await pushImage(writer, 'local/app', 'first');
    const second = await pushImage(writer, 'local/app', 'second');
    await root('DELETE', '/v2/local/app/manifests/v1');
    const shown = await events('after=0&repository=local&image=app');
    const by = expect.objectContaining({ principal: 'writer', via: 'basic', address: '127.0.0.1' }) as object;
    const at = expect.stringMatching(/^\d{4}-.*Z$/) as string;
    const place = { at, repository: 'local', image: 'app', seq: expect.any(Number) as number };
    const pushed = { ...place, by, type: 'manifest.pushed', media_type: first.manifest.type };
    const moved = { ...place, by, type: 'tag.moved', tag: 'v1' };
    const [one, two] = [first.manifest.digest, second.manifest.digest];
    expect(shown).toEqual([
      { ...pushed, digest: one },
      { ...moved, digest: one },
      { ...pushed, digest: two },
      { ...moved, digest: two, was: one },
      {
        ...place,
        type: 'tag.deleted',
        tag: 'v1',
        was: two,
        by: expect.objectContaining({ principal: 'root' }) as object,
      },
    ]);
  });

  it('shows changes of access and jobs by their ids, without secrets', async () => {
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const made = (await manage(root, 'POST', 'accounts/robot/tokens', {})) as { id: string; token: string };
    const job = (await manage(root, 'POST', 'jobs', { kind: 'garbage', dry_run: true }, 202)) as { id: string };
    const shown = await events('by=root&types=account.created&types=account-token.created&types=job.created');
    expect(shown.map(({ type, id }) => [type, id])).toEqual([
      ['job.created', job.id],
      ['account-token.created', expect.stringContaining(made.id)],
      ['account.created', 'robot'],
    ]);
    // aat_<id>_<secret>: the secret may contain "_" too.
    const secret = made.token.split('_').slice(2).join('_');
    expect(secret.length).toBeGreaterThan(20);
    expect(JSON.stringify(await events('n=1000'))).not.toContain(secret);
  });

  it('follows what happens from the newest event on', async () => {
    const answer = await root('GET', '/api/v1/events?n=1');
    const { latest } = answer.json() as { latest: string };
    expect(await events(`after=${latest}`)).toEqual([]);
    await manage(root, 'POST', 'rules', { users: ['x'], allow: ['pull'] });
    expect((await events(`after=${latest}`)).map(({ type }) => type)).toEqual(['rule.created']);
  });
});
