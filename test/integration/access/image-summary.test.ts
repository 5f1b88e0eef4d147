import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let scene: AccessScene;

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'ci', 'half', 'reader'],
    repositories: [
      { name: 'fixed', type: 'local', immutableTags: ['v*'], mutableTags: ['v*-rc*'], maxBytes: 1_000_000 },
      { name: 'plain', type: 'local' },
      { name: 'all', type: 'virtual', members: ['fixed', 'plain'], pushTo: 'fixed' },
      { name: 'closed', type: 'virtual', members: ['fixed'] },
    ],
    quotas: [{ names: ['*/app', 'secret/**'], maxBytes: 500_000 }],
    retention: {
      policies: [
        {
          names: ['fixed/**', 'secret/**'],
          keep: [{ tags: ['v*'] }, { tags: ['*'], newest: 3, usedWithinSeconds: 60 }],
          untagged: { keepSeconds: 3600 },
        },
      ],
    },
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['ci', 'reader', 'half'], allow: ['pull'] },
        { users: ['ci'], allow: ['push'] },
        { names: 'all', users: ['half'], allow: ['push'] },
      ],
    },
  });
  for (const name of ['fixed/app', 'plain/app', 'plain/other']) await pushImage(scene.as(basic('root')), name);
});
afterAll(() => cleanups.run());

const summary = async (user: string, repository: string, image = 'app'): Promise<Record<string, unknown>> => {
  const answer = await scene.as(basic(user))('GET', `/api/v1/repositories/${repository}/images/${image}/summary`);
  expect(answer.status).toBe(200);
  return answer.json() as Record<string, unknown>;
};

describe('the summary of an image', () => {
  const immutable = { tags: ['v*'], except: ['v*-rc*'] };
  const retention = {
    keep: [{ tags: ['v*'] }, { tags: ['*'], newest: 3, used_within_seconds: 60 }],
    untagged: { keep_seconds: 3600 },
  };

  it.each(['fixed', 'all'])(
    'in %s has its immutable tags, retention and quotas, for users who may push',
    async (name) => {
      const own = await summary('ci', 'fixed');
      const used = Number(own['size_bytes']);
      const both = used + Number((await summary('ci', 'plain'))['size_bytes']);
      expect(await summary('ci', name)).toMatchObject({
        immutable,
        retention,
        quotas: [
          { name: 'fixed', max_bytes: 1_000_000, used_bytes: used },
          { name: '*/app, secret/**', max_bytes: 500_000, used_bytes: both },
        ],
      });
    },
  );

  it.each([
    ['reader', 'fixed'],
    ['reader', 'all'],
    ['half', 'all'],
  ])('does not tell %s, who may not push, about quotas in %s, nor about other images', async (user, name) => {
    const shown = await summary(user, name);
    expect(shown).toMatchObject({ immutable, retention });
    expect(shown).not.toHaveProperty('quotas');
    expect(JSON.stringify(shown)).not.toContain('secret');
  });

  it('omits what does not apply', async () => {
    expect(Object.keys(await summary('ci', 'plain'))).toEqual(expect.not.arrayContaining(['immutable', 'retention']));
    expect(await summary('ci', 'plain', 'other')).not.toHaveProperty('quotas');
    for (const rule of ['immutable', 'retention', 'quotas']) {
      expect(await summary('root', 'closed')).not.toHaveProperty(rule);
    }
  });
});
