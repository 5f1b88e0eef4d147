import { describe, expect, it } from 'vitest';
import {
  decodeAccount,
  decodeRule,
  decodeToken,
  encodeAccount,
  encodeKey,
  encodeRule,
  encodeToken,
} from '../../../../src/protocol/tables/documents/access-documents.js';
import type { Problem } from '../../../../src/protocol/settings/option-schema.js';
import { refusalOf } from '../../../support/clients/refusal.js';

const now = Date.UTC(2026, 5, 1);
const account = { name: 'robot', description: 'x', groups: ['ci'], disabled: false };
const limits = [{ names: ['docker-internal/**'], allow: ['pull', 'push'] as const }];

/** Returns the paths of the problems. */
function problemsOf(task: () => unknown): string[] {
  const refusal = refusalOf(task);
  expect(refusal).toMatchObject({ code: 'OPTIONS_INVALID', status: 400 });
  return (refusal.detail as Problem[]).map(({ path }) => path).sort();
}

describe('the document of an account', () => {
  it('is shown in snake case, and can be read, edited and put back', () => {
    const shown = encodeAccount({ ...account, createdAt: 0, updatedAt: 1500 });
    const times = { created_at: '1970-01-01T00:00:00.000Z', updated_at: '1970-01-01T00:00:01.500Z' };
    expect(shown).toEqual({ ...account, ...times });
    expect(decodeAccount(shown)).toEqual(account);
    expect(decodeAccount(shown, 'robot')).toEqual(account);
  });

  it('has defaults, and takes the name from the URL', () => {
    const expected = { name: 'robot', description: '', groups: [], disabled: false };
    expect(decodeAccount({ name: 'robot' })).toEqual(expected);
    expect(decodeAccount({}, 'robot')).toEqual(expected);
  });

  it('does not contain internal fields', () => {
    const stored = { ...account, createdAt: 0, updatedAt: 0, uid: 'u', sha256: 'h' };
    expect(Object.keys(encodeAccount(stored))).not.toContain('uid');
    expect(JSON.stringify(encodeAccount(stored))).not.toContain('sha256');
  });

  it.each(['a', 'A1', '0', 'first.last', 'a@b.example', 'a+b_c-d', 'x'.repeat(128)])('accepts the name %s', (name) => {
    expect(decodeAccount({ name }).name).toBe(name);
  });

  it.each<[string, unknown, string[]]>([
    ['a string', 'x', ['']],
    ['null', null, ['']],
    ['a list', [], ['']],
    ['no name', {}, ['name']],
    ['an empty name', { name: '' }, ['name']],
    ['a name with a slash', { name: 'a/b' }, ['name']],
    ['a name with a colon', { name: 'a:b' }, ['name']],
    ['a name with a space', { name: 'a b' }, ['name']],
    ['a name that paths would normalize away', { name: '..' }, ['name']],
    ['a name that is not ASCII', { name: 'j\u00F6rg' }, ['name']],
    ['a long name', { name: 'x'.repeat(129) }, ['name']],
    ['a line break after the name', { name: 'a\n' }, ['name']],
    ['groups that are not a list', { name: 'a', groups: 'ci' }, ['groups']],
    ['a bad group', { name: 'a', groups: ['ok', 'b d'] }, ['groups[1]']],
    ['an unknown option', { name: 'a', admin: true }, ['admin']],
    ['several problems', { name: '', groups: [1], disabled: 'x', z: 1 }, ['disabled', 'groups[0]', 'name', 'z']],
  ])('refuses %s', (_title, document, paths) => {
    expect(problemsOf(() => decodeAccount(document))).toEqual(paths);
  });

  it('must not have another name than the URL, which is reported together with other problems', () => {
    expect(problemsOf(() => decodeAccount({ name: 'b', disabled: 1 }, 'a'))).toEqual(['disabled', 'name']);
  });

  it('cannot set options through __proto__', () => {
    const sneaky = JSON.parse('{"name":"a","__proto__":{"disabled":true}}') as unknown;
    expect(refusalOf(() => decodeAccount(sneaky)).code).toBe('OPTIONS_INVALID');
  });
});

describe('the document of a token', () => {
  it('is shown in snake case, without its secret and internal fields', () => {
    const token = { id: '0123', account: 'robot', description: 'd', limits, createdAt: 0, expiresAt: 1000 };
    const shown = {
      id: '0123',
      account: 'robot',
      description: 'd',
      limits,
      created_at: '1970-01-01T00:00:00.000Z',
      expires_at: '1970-01-01T00:00:01.000Z',
    };
    const stored = { ...token, sha256: 'h', secret: 's', accountUid: 'u' };
    expect(encodeToken(stored)).toEqual(shown);
    const { limits: _limits, expiresAt: _expiresAt, ...bare } = token;
    expect(Object.keys(encodeToken(bare))).toEqual(['id', 'account', 'description', 'created_at']);
  });

  it.each<[string, unknown, object]>([
    ['an empty object', {}, { description: '', limits: undefined, expiresAt: undefined }],
    ['a time', { expires_at: '2026-06-01T00:00:00.001Z' }, { expiresAt: now + 1 }],
    ['a time in another zone', { expires_at: '2026-06-01T02:00:00+01:00' }, { expiresAt: now + 3_600_000 }],
    ['seconds', { expires_in_seconds: 1.5 }, { expiresAt: now + 1500 }],
    ['limits', { description: 'd', limits }, { description: 'd', limits }],
    [
      'a limit with a single name',
      { limits: [{ names: 'a', allow: ['pull'] }] },
      { limits: [{ names: ['a'], allow: ['pull'] }] },
    ],
  ])('is decoded from %s', (_title, document, expected) => {
    expect(decodeToken(document, now)).toMatchObject(expected);
  });

  it.each<[string, unknown, string[]]>([
    ['a list', [], ['']],
    ['a time in the past', { expires_at: '2026-05-31T23:59:59Z' }, ['expires_at']],
    ['the current time', { expires_at: '2026-06-01T00:00:00Z' }, ['expires_at']],
    ['a time without a zone', { expires_at: '2027-06-01T00:00:00' }, ['expires_at']],
    ['a date', { expires_at: '2027-06-01' }, ['expires_at']],
    ['a day that does not exist', { expires_at: '2027-02-30T00:00:00Z' }, ['expires_at']],
    ['a number as a time', { expires_at: now + 1 }, ['expires_at']],
    ['a lifetime of 0', { expires_in_seconds: 0 }, ['expires_in_seconds']],
    ['a negative lifetime', { expires_in_seconds: -1 }, ['expires_in_seconds']],
    ['an excessive lifetime', { expires_in_seconds: 1e300 }, ['expires_in_seconds']],
    [
      'both a time and a lifetime',
      { expires_at: '2027-06-01T00:00:00Z', expires_in_seconds: 5 },
      ['expires_in_seconds'],
    ],
    ['an empty list of limits', { limits: [] }, ['limits']],
    ['a limit without permissions', { limits: [{ names: ['a'] }] }, ['limits[0].allow']],
    ['a limit without names', { limits: [{ allow: ['pull'] }] }, ['limits[0].names']],
    ['an unknown permission', { limits: [{ names: ['a'], allow: ['own'] }] }, ['limits[0].allow[0]']],
    ['a secret chosen by the client', { token: 'aat_x', id: 'x' }, ['id', 'token']],
  ])('is refused with %s', (_title, document, paths) => {
    expect(problemsOf(() => decodeToken(document, now))).toEqual(paths);
  });
});

describe('the document of a rule', () => {
  const rule = { names: ['a/**'], users: ['bob'], allow: ['pull'] as const };

  it('is shown with its id and origin, and can be read, edited and put back', () => {
    const shown = encodeRule({ id: 'r1', origin: 'managed', rule });
    expect(JSON.parse(JSON.stringify(shown))).toEqual({ id: 'r1', origin: 'managed', ...rule });
    expect(decodeRule(JSON.parse(JSON.stringify(shown)), 'r1')).toEqual(rule);
  });

  it('accepts the same as the option access.rules', () => {
    expect(decodeRule({ ...rule, names: 'a/**' })).toEqual(rule);
    expect(decodeRule({ anonymous: true, allow: ['pull'] })).toEqual({ anonymous: true, allow: ['pull'] });
  });

  it.each<[string, unknown, string[]]>([
    ['a string', 'x', ['']],
    ['no permissions', { users: ['bob'], allow: [] }, ['allow']],
    ['no one whom it applies to', { allow: ['pull'] }, ['']],
    ['admin for everyone', { anonymous: true, allow: ['admin'] }, ['allow']],
    ['a bad pattern', { users: ['bob'], names: ['A'], allow: ['pull'] }, ['names[0]']],
    ['an id chosen by the client', { ...rule, id: 'x' }, ['id']],
    ['an unknown option', { ...rule, deny: ['push'] }, ['deny']],
  ])('is refused with %s', (_title, document, paths) => {
    expect(problemsOf(() => decodeRule(document))).toEqual(paths);
  });

  it('must not have another id than the URL', () => {
    expect(problemsOf(() => decodeRule({ ...rule, id: 'x' }, 'r1'))).toEqual(['id']);
  });
});

describe('the document of a key', () => {
  it('does not contain the private key', () => {
    const key = { id: 'k', createdAt: 0, origin: 'managed', signs: true, privateKey: 'pem' };
    const shown = { id: 'k', origin: 'managed', signs: true, created_at: '1970-01-01T00:00:00.000Z' };
    expect(encodeKey(key)).toEqual(shown);
  });
});
