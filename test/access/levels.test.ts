import { describe, expect, it } from 'vitest';
import { createLocalAccess } from '../../src/access/local-access.js';
import { RuledAccess, type RuledAccessParts } from '../../src/access/ruled-access.js';
import { RuleSet } from '../../src/access/rules/rules.js';
import type { Access, AccessTarget, Principal } from '../../src/ports/access/access.js';
import { accessLimitSchema, accessRuleSchema, type AccessRule } from '../../src/protocol/settings/access-config.js';
import { anonymous } from '../../src/util/anonymous.js';

const ann: Principal = { id: 'ann', groups: [], via: 'basic' };
const token: Principal = {
  ...ann,
  via: 'bearer',
  grants: [{ type: 'repository', name: 'docker/app', actions: ['pull'] }],
};

function accessBy(rules: readonly AccessRule[], needsGrants = false): RuledAccess {
  const parts: Partial<RuledAccessParts> = {
    rules: () => Promise.resolve(new RuleSet(rules)),
    challenge: { scheme: 'basic' },
    grantsBy: 'wire name',
    needsGrants,
  };
  // The rest is needed for logins only.
  return new RuledAccess(parts as RuledAccessParts);
}

const at = (repository: string, image?: string): AccessTarget => ({
  at: image === undefined ? { repository } : { repository, image },
});

describe('the access "browse"', () => {
  const rules: AccessRule[] = [
    { names: ['docker/app', 'other'], users: ['ann'], allow: ['pull'] },
    { names: ['public'], anonymous: true, allow: ['pull'] },
    { names: ['drop'], users: ['ann'], allow: ['push', 'delete', 'monitor'] },
    { names: ['mine'], users: ['ben'], allow: ['admin'] },
  ];

  it.each<[who: string, principal: Principal, browsed: string[]]>([
    ['a user', ann, ['', 'docker', 'docker/app', 'other', 'other/x', 'public', 'public/x']],
    ['an administrator of a repository', { ...ann, id: 'ben' }, ['', 'mine', 'mine/x', 'public', 'public/x']],
    ['someone without a login', anonymous, ['', 'public', 'public/x']],
    ['a limited token', { ...ann, limits: [{ names: ['other/x'], allow: ['pull'] }] }, ['', 'other', 'other/x']],
    ['a token that may only push', { ...ann, limits: [{ names: ['**'], allow: ['push'] }] }, []],
    ['an access token', token, []],
  ])('of %s reaches every name under which it may pull something', async (_who, principal, browsed) => {
    const names = ['', 'docker', 'docker/app', 'docker/x', 'other', 'other/x', 'drop', 'drop/x', 'mine', 'mine/x'];
    const access = accessBy(rules);
    const found: string[] = [];
    for (const name of [...names, 'public', 'public/x', 'gone', 'gone/x']) {
      const [repository = '', image] = name.split('/');
      if (await access.permits(principal, 'browse', name === '' ? {} : at(repository, image))) found.push(name);
    }
    expect(found).toEqual(browsed);
  });

  it('is closed where only tokens of an external server decide', async () => {
    const access = accessBy([{ anonymous: true, allow: ['pull', 'push', 'delete'] }], true);
    for (const principal of [anonymous, ann, token]) {
      expect(await access.permits(principal, 'browse', at('docker', 'app'))).toBe(false);
      expect(await access.permits(principal, 'browse')).toBe(false);
      expect(await access.permits(principal, 'monitor')).toBe(false);
    }
  });

  it.each<[mode: 'open' | 'read-only', access: Access, expected: boolean]>([
    ['open', 'browse', true],
    ['open', 'monitor', true],
    ['read-only', 'browse', true],
    ['read-only', 'monitor', false],
  ])('follows the mode without rules: %s gives %s: %s', async (mode, access, expected) => {
    expect(await createLocalAccess(mode).permits(anonymous, access)).toBe(expected);
  });
});

describe('the access "monitor"', () => {
  it.each<[rule: Partial<AccessRule>, principal: Principal, expected: boolean]>([
    [{ users: ['ann'], allow: ['monitor'] }, ann, true],
    [{ users: ['ann'], allow: ['admin'] }, ann, true],
    [{ users: ['ann'], names: ['**'], allow: ['monitor'] }, ann, true],
    [{ authenticated: true, allow: ['monitor'] }, ann, true],
    [{ authenticated: true, allow: ['monitor'] }, anonymous, false],
    [{ users: ['ann'], names: ['docker'], allow: ['admin'] }, ann, false],
    [{ users: ['ann'], allow: ['pull', 'push', 'delete'] }, ann, false],
    [{ users: ['ann'], allow: ['monitor'] }, token, false],
    [{ users: ['ann'], allow: ['admin'] }, { ...ann, limits: [{ names: ['**'], allow: ['monitor'] }] }, true],
    [{ users: ['ann'], allow: ['admin'] }, { ...ann, limits: [{ names: ['**'], allow: ['pull'] }] }, false],
    [{ users: ['ann'], allow: ['admin'] }, { ...ann, limits: [{ names: ['docker'], allow: ['admin'] }] }, false],
  ])('follows the rule %j for %o: %s', async (rule, principal, expected) => {
    const access = accessBy([{ allow: [], ...rule }]);
    expect(await access.permits(principal, 'monitor')).toBe(expected);
    // It is about the registry, whatever the request names.
    expect(await access.permits(principal, 'monitor', at('docker', 'app'))).toBe(expected);
  });

  it('neither reads nor changes anything else', async () => {
    const access = accessBy([{ users: ['ann'], allow: ['monitor'] }]);
    for (const level of ['browse', 'pull', 'push', 'delete', 'catalog', 'admin'] as const) {
      expect([level, await access.permits(ann, level, at('docker', 'app'))]).toEqual([level, false]);
      if (level !== 'browse') expect([level, await access.permits(ann, level)]).toEqual([level, false]);
    }
  });

  it('includes the status of the registry, whose access is "browse", but no image and no repository', async () => {
    const access = accessBy([{ users: ['ann'], allow: ['monitor'] }]);
    expect(await access.permits(ann, 'browse')).toBe(true);
    expect(await access.permits(ann, 'browse', { at: { repository: 'docker' } })).toBe(false);
    expect((await access.reach(ann, 'docker')).prefixes).toEqual([]);
  });

  it.each<[rule: object, problem: string]>([
    [{ anonymous: true, allow: ['pull', 'monitor'] }, 'must not contain monitor: it requires a login'],
    [{ names: 'docker', users: ['ann'], allow: ['monitor'] }, 'must not contain monitor with other names than "**"'],
  ])('cannot be given by %j', (rule, problem) => {
    const { error } = accessRuleSchema.safeParse(rule);
    expect(error?.issues).toMatchObject([{ path: ['allow'], message: expect.stringContaining(problem) as string }]);
  });

  it('cannot be limited to names', () => {
    expect(accessLimitSchema.safeParse({ names: 'docker', allow: ['monitor'] }).success).toBe(false);
    expect(accessLimitSchema.safeParse({ names: '**', allow: ['monitor'] }).success).toBe(true);
  });
});
