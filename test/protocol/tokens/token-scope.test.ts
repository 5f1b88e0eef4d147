import { describe, expect, it } from 'vitest';
import { covers, formatScope, mergeGrants, parseScopes, readGrants } from '../../../src/protocol/tokens/token-scope.js';

const pull = { type: 'repository', name: 'team/app', actions: ['pull'] };

describe('parseScopes', () => {
  it.each([
    ['one scope', ['repository:team/app:pull'], 'repository:team/app:pull'],
    ['several actions', ['repository:team/app:push,pull'], 'repository:team/app:push,pull'],
    ['a name with a port', ['repository:host:5000/team/app:pull'], 'repository:host:5000/team/app:pull'],
    ['the catalog', ['registry:catalog:*'], 'registry:catalog:*'],
    ['scopes separated by spaces', ['repository:a:pull  registry:catalog:*'], 'repository:a:pull registry:catalog:*'],
    ['repeated parameters', ['repository:a:pull', 'repository:b:pull'], 'repository:a:pull repository:b:pull'],
    ['the same name twice', ['repository:a:pull', 'repository:a:push,pull'], 'repository:a:pull,push'],
    ['* together with other actions', ['repository:a:pull,*'], 'repository:a:*'],
    ['a resource class, which is ignored', ['repository(plugin):a:pull'], 'repository:a:pull'],
    ['unknown actions, which are ignored', ['repository:a:admin,pull,PULL,'], 'repository:a:pull'],
  ])('parses %s', (_what, texts, expected) => {
    expect(formatScope(parseScopes(texts))).toBe(expected);
  });

  it.each([
    ['an empty text', ''],
    ['no colon', 'repository'],
    ['one colon', 'repository:team/app'],
    ['no name', 'repository::pull'],
    ['no action', 'repository:a:'],
    ['an unknown action', 'repository:a:fly'],
    ['an unknown type', 'plugin:a:pull'],
    ['a malformed class', 'repository(:a:pull'],
    ['a type in upper case', 'Repository:a:pull'],
    ['a name that would break a header', 'repository:a"b:pull'],
    ['a line break', 'repository:a\r\nb:pull'],
    ['a name with a wildcard', 'repository:*:pull'],
    ['a scope that is too long', `repository:${'a'.repeat(640)}:pull`],
  ])('ignores %s, and keeps other scopes', (_what, text) => {
    expect(parseScopes([text, 'repository:team/app:pull'])).toEqual([pull]);
  });

  it('accepts 10 different scopes, repeated or joined', () => {
    const many = Array.from({ length: 100 }, (_, i) => `repository:a${i}:pull`);
    expect(parseScopes(many)).toHaveLength(10);
    expect(parseScopes([many.join(' ')])).toHaveLength(10);
    expect(parseScopes([...Array.from({ length: 20 }, () => 'repository:a:pull'), 'repository:b:pull'])).toHaveLength(
      2,
    );
  });
});

describe('readGrants', () => {
  it('reads an access claim and ignores the same entries as parseScopes', () => {
    const access = [
      pull,
      { type: 'repository(plugin)', name: 'team/app', actions: ['push', 'fly', 7] },
      { type: 'planet', name: 'mars', actions: ['pull'] },
      { type: 'repository', name: 'x' },
      { type: 'repository', name: 7, actions: ['pull'] },
      'repository:a:pull',
      null,
    ];
    expect(readGrants(access)).toEqual([{ ...pull, actions: ['pull', 'push'] }]);
  });

  it.each([[undefined], [null], ['x'], [{ length: 1 }], [[]]])('returns no grants for %j', (access) => {
    expect(readGrants(access)).toEqual([]);
  });
});

describe('mergeGrants', () => {
  it('merges only grants with the same type and name', () => {
    const other = { type: 'registry', name: 'team/app', actions: ['*'] };
    expect(mergeGrants([pull, other, { ...pull, actions: ['push'] }, { ...pull, name: 'team' }])).toEqual([
      { ...pull, actions: ['pull', 'push'] },
      other,
      { ...pull, name: 'team' },
    ]);
  });
});

describe('covers', () => {
  const grants = parseScopes(['repository:a:pull,push repository:b:* registry:catalog:*']);
  it.each([
    ['repository', 'a', 'pull', true],
    ['repository', 'a', 'delete', false],
    ['repository', 'a', '*', false],
    ['repository', 'b', 'delete', true],
    ['repository', 'a/b', 'pull', false],
    ['repository', 'c', 'pull', false],
    ['registry', 'catalog', '*', true],
    ['registry', 'a', 'pull', false],
  ])('returns for %s %s %s: %s', (type, name, action, expected) => {
    expect(covers(grants, { type, name, action })).toBe(expected);
  });
});
