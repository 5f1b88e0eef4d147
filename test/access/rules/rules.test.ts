import { describe, expect, it } from 'vitest';
import { RuleSet, type Subject } from '../../../src/access/rules/rules.js';
import { anonymous } from '../../../src/util/anonymous.js';
import type { Principal } from '../../../src/ports/access/access.js';
import type { AccessLimit, AccessRule, Permission } from '../../../src/protocol/settings/access-config.js';

const ann: Principal = { id: 'ann', groups: ['team'], via: 'basic' };
const everyone = { anonymous: true } as const;
const all: readonly Permission[] = ['pull', 'push', 'delete', 'admin'];

/** `docker/team/app` is an image, `docker` is a whole repository, '' is the registry. */
function subjectOf(text: string): Subject | undefined {
  const [repository = '', ...image] = text.split('/');
  if (text === '') return undefined;
  return image.length === 0 ? { repository } : { repository, image: image.join('/') };
}

/** The permissions that the rules give on an image, on a whole repository or on the registry. */
function allowed(rules: readonly AccessRule[], text: string, principal = ann): string {
  const subject = subjectOf(text);
  const asked = subject?.image === undefined ? (['admin'] as const) : all;
  return asked.filter((permission) => new RuleSet(rules).permits(principal, permission, subject)).join(' ');
}

describe('the names of a rule', () => {
  it.each<[names: string[] | undefined, yes: string[], no: string[]]>([
    [['docker'], ['docker/app', 'docker/team/app'], ['docker2/app', 'other/docker/app', 'a-docker/app']],
    [['docker/**'], ['docker/app', 'docker/team/app'], ['docker2/app']],
    [['docker/*'], ['docker/app'], ['docker/team/app', 'other/app']],
    [['docker/team/*'], ['docker/team/app'], ['docker/team/a/b', 'docker/team', 'docker/app']],
    [['docker/team/app'], ['docker/team/app'], ['docker/team/app2', 'docker/team/app/b', 'docker/team']],
    [['docker-*'], ['docker-a/x', 'docker-/x/y'], ['docker/x', 'docker/docker-a/x']],
    [['*/team/**'], ['a/team/x', 'b/team/x/y'], ['a/b/team/x', 'team/x']],
    [['**/app'], ['a/app', 'a/b/app'], ['a/app/b', 'a/apps']],
    [['*'], ['a/app', 'b/c/d'], []],
    [['**'], ['a/app', 'b/c/d'], []],
    [['a', 'b/x'], ['a/y', 'b/x'], ['b/y']],
    [undefined, ['a/app', 'b/c/d'], []],
  ])('match images by the patterns %j', (names, yes, no) => {
    const rules: AccessRule[] = [{ names, users: ['ann'], allow: ['pull'] }];
    for (const name of yes) expect([name, allowed(rules, name)]).toEqual([name, 'pull']);
    for (const name of no) expect([name, allowed(rules, name)]).toEqual([name, '']);
  });
});

describe('the subjects of a rule', () => {
  it.each<[rule: Partial<AccessRule>, principal: Principal, expected: boolean]>([
    [{ users: ['ann'] }, ann, true],
    [{ users: ['Ann', 'ben'] }, ann, false],
    [{ groups: ['team'] }, ann, true],
    [{ groups: ['ann'] }, ann, false],
    [{ users: ['team'] }, ann, false],
    [{ authenticated: true }, ann, true],
    [{ anonymous: true }, ann, true],
    [{ anonymous: true }, anonymous, true],
    [{ anonymous: false, authenticated: false }, ann, false],
    [{ authenticated: true }, anonymous, false],
    [{ users: ['anonymous'] }, anonymous, false],
    [{ users: ['anonymous'] }, { ...anonymous, via: 'basic' }, false],
    [{ groups: ['team'] }, { ...anonymous, groups: ['team'] }, false],
    [{}, ann, false],
  ])('%j match %o: %s', (rule, principal, expected) => {
    expect(allowed([{ ...rule, allow: ['pull'] }], 'docker/app', principal)).toBe(expected ? 'pull' : '');
  });
});

describe('a set of rules', () => {
  it.each<[allow: Permission[], expected: string]>([
    [['pull'], 'pull'],
    [['push'], 'push'],
    [['delete'], 'delete'],
    [['push', 'pull'], 'pull push'],
    [['admin'], 'pull push delete admin'],
  ])('with allow: %j permits %s', (allow, expected) => {
    expect(allowed([{ ...everyone, allow }], 'docker/app')).toBe(expected);
  });

  it('permits nothing if it is empty, and otherwise the sum of all rules', () => {
    expect(allowed([], 'docker/app')).toBe('');
    const rules: AccessRule[] = [
      { ...everyone, allow: ['pull'] },
      { names: ['docker'], users: ['ann'], allow: ['push'] },
      { names: ['docker/app'], groups: ['team'], allow: ['delete'] },
    ];
    expect(allowed(rules, 'docker/app')).toBe('pull push delete');
    expect(allowed(rules, 'docker/other')).toBe('pull push');
    expect(allowed(rules, 'other/app')).toBe('pull');
  });

  it.each<[names: string[] | undefined, administered: string[]]>([
    [undefined, ['', 'docker', 'other']],
    [['**'], ['', 'docker', 'other']],
    [['*'], ['docker', 'other']],
    [['docker'], ['docker']],
    [['docker/**'], ['docker']],
    [['d*'], ['docker']],
    [['docker/*'], []],
    [['docker/app'], []],
    [['docker/team/**'], []],
    [['**/app'], []],
  ])('for %j permits the administration of %j', (names, administered) => {
    const rules: AccessRule[] = [{ names, users: ['ann'], allow: ['admin'] }];
    expect(['', 'docker', 'other'].filter((subject) => allowed(rules, subject) !== '')).toEqual(administered);
  });
});

describe('limits of a token', () => {
  it.each<[limits: AccessLimit[], image: string, expected: string]>([
    [[], 'docker/app', ''],
    [[{ names: ['docker'], allow: ['pull'] }], 'docker/app', 'pull'],
    [[{ names: ['docker'], allow: ['pull'] }], 'other/app', ''],
    [[{ names: ['docker'], allow: ['admin'] }], 'docker/app', 'pull push delete admin'],
    [[{ names: ['docker'], allow: ['admin'] }], 'docker', 'admin'],
    [[{ names: ['docker'], allow: ['admin'] }], '', ''],
    [[{ names: ['docker/app'], allow: ['admin'] }], 'docker', ''],
    [[{ names: ['**'], allow: ['pull', 'push', 'delete'] }], '', ''],
    [
      [
        { names: ['a'], allow: ['pull'] },
        { names: ['**'], allow: ['push'] },
      ],
      'a/app',
      'pull push',
    ],
  ])('%j narrow full permissions on %j to %j', (limits, image, expected) => {
    expect(allowed([{ users: ['ann'], allow: ['admin'] }], image, { ...ann, limits })).toBe(expected);
  });

  it('do not add permissions that no rule gives', () => {
    const limits = [{ names: ['**'], allow: ['admin'] as const }];
    expect(allowed([{ names: ['docker'], users: ['ann'], allow: ['pull'] }], 'docker/app', { ...ann, limits })).toBe(
      'pull',
    );
  });
});

describe('the existence of a repository', () => {
  it.each<[names: string[] | undefined, allow: Permission[], known: string[]]>([
    [undefined, ['pull'], ['docker', 'other']],
    [['docker'], ['pull'], ['docker']],
    [['docker/team/app'], ['pull'], ['docker']],
    [['docker*/x'], ['pull'], ['docker']],
    [['*/x'], ['admin'], ['docker', 'other']],
    [['**/x'], ['pull'], ['docker', 'other']],
    [['o**'], ['pull'], ['other']],
    [['docker'], ['push', 'delete'], ['docker']],
    [['other-one'], ['pull'], []],
  ])('is revealed by a rule with names %j and allow %j for %j', (names, allow, known) => {
    const rules = new RuleSet([{ names, users: ['ann'], allow }]);
    const some = (principal: Principal): string[] =>
      ['docker', 'other'].filter((repository) => rules.mayKnow(principal, repository));
    expect(some(ann)).toEqual(known);
    expect(some(anonymous)).toEqual([]);
    expect(rules.mayPullSome(ann)).toBe(allow.includes('pull') || allow.includes('admin'));
    const docker = known.filter((name) => name === 'docker');
    const limitedTo = (permission: Permission, name: string): Principal => {
      return { ...ann, limits: [{ names: [name], allow: [permission] }] };
    };
    const has = (permission: Permission): boolean => allow.includes(permission) || allow.includes('admin');
    expect(some(limitedTo('pull', 'docker/x'))).toEqual(has('pull') ? docker : []);
    expect(some(limitedTo('push', 'docker'))).toEqual(has('push') ? docker : []);
  });
});
