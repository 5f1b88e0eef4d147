import { afterAll, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

describe.each(['bearer', 'basic'] as const)('a registry with one public repository and %s challenges', (challenge) => {
  it.each<[what: string, path: string, authorization: string | undefined, bearer: number, basic: number]>([
    ['a ping without credentials', '/v2/', undefined, 401, 401],
    ['a ping with an empty password', '/v2/', basic('', ''), 401, 200],
    ['a ping by a user', '/v2/', basic('reader'), 200, 200],
    ['a public pull without credentials', '/v2/open/app/manifests/v1', undefined, 200, 200],
    ['a public pull with an empty password', '/v2/open/app/manifests/v1', basic('', ''), 200, 200],
    ['a public pull with a wrong password', '/v2/open/app/manifests/v1', basic('reader', 'guess'), 401, 401],
    ['a public pull with an unknown scheme', '/v2/open/app/manifests/v1', 'Digest username="reader"', 401, 401],
    ['a private pull without credentials', '/v2/closed/app/manifests/v1', undefined, 401, 401],
    ['a private pull with an empty password', '/v2/closed/app/manifests/v1', basic('', ''), 401, 401],
    ['a private pull by a user without permission', '/v2/closed/app/manifests/v1', basic('reader'), 403, 403],
    ['a request for an anonymous token', '/v2/token', undefined, 200, 404],
  ])('answers %s with the expected status', async (_what, path, authorization, ...statuses) => {
    const { ask, as } = await startOpen(challenge);
    const answer = await (authorization === undefined ? ask : as(authorization))('GET', path);
    expect(answer.status).toBe(statuses[challenge === 'bearer' ? 0 : 1]);
    if (answer.status !== 401) return;
    const realm = challenge === 'basic' ? 'Basic realm="artifactapi"' : 'Bearer realm="http://127.0.0.1:';
    expect(answer.header('www-authenticate').startsWith(realm)).toBe(true);
  });
});

const opened = new Map<string, Promise<AccessScene>>();

/** One scene for each way to ask. */
function startOpen(challenge: 'bearer' | 'basic'): Promise<AccessScene> {
  const open = async (): Promise<AccessScene> => {
    const rules = [
      { names: 'open', anonymous: true, allow: ['pull'] as const },
      { users: ['root'], allow: ['admin'] as const },
    ];
    const repositories = ['open', 'closed'].map((name) => ({ name, type: 'local' as const }));
    const started = await startAccess(cleanups, {
      users: ['root', 'reader'],
      repositories,
      access: { challenge, rules },
    });
    for (const { name } of repositories) await pushImage(started.as(basic('root')), `${name}/app`);
    return started;
  };
  const found = opened.get(challenge) ?? open();
  opened.set(challenge, found);
  return found;
}
