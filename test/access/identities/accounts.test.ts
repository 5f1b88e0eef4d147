import { createHash } from 'node:crypto';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { admin } from '../../support/access/callers.js';
import { StoredAccounts } from '../../../src/access/identities/accounts.js';
import type { AccountSettings, AccountToken } from '../../../src/ports/access/access.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { hooked, isApplyOf, once, TestRuntime } from '../../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const noToken = { description: '', limits: undefined, expiresAt: undefined };

describe('accounts', () => {
  let folder: string;
  let metadata: LevelMetadataStore;
  let runtime: TestRuntime;
  let accounts: StoredAccounts;
  beforeEach(async () => {
    folder = await makeScratchFolder();
    metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    runtime = new TestRuntime(1000);
    accounts = new StoredAccounts(metadata, runtime, { isTaken: (name) => name === 'alice' });
  });
  afterEach(async () => {
    await metadata.close();
    await removeScratchFolder(folder);
  });

  const settings = (name: string, rest: Partial<AccountSettings> = {}): AccountSettings => ({
    name,
    description: '',
    groups: ['ci'],
    disabled: false,
    ...rest,
  });
  /** An account with one token. */
  const open = async (name: string, rest: Partial<AccountToken> = {}): Promise<{ id: string; secret: string }> => {
    if ((await accounts.get(name)) === undefined) await accounts.create(settings(name), admin);
    const { token, secret } = await accounts.createToken(name, { ...noToken, ...rest }, admin);
    return { id: token.id, secret };
  };
  /** Accounts over a store that runs a task right before the first write with such a change. */
  const whenBefore = (change: string, task: () => Promise<unknown>): StoredAccounts =>
    new StoredAccounts(hooked(metadata, once(isApplyOf(change), task)), runtime);

  describe('as the management API uses them', () => {
    it('are created, read, replaced, listed by name and deleted', async () => {
      const made = await accounts.create(settings('robot', { description: 'a robot' }), admin);
      const expected = { ...settings('robot', { description: 'a robot' }), createdAt: 1000, updatedAt: 1000 };
      expect(made).toEqual(expected);
      await accounts.create(settings('Zoe'), admin);
      runtime.advance(5);
      const replaced = await accounts.replace(settings('robot', { groups: [], disabled: true }), admin);
      expect(replaced).toEqual({ ...settings('robot'), groups: [], disabled: true, createdAt: 1000, updatedAt: 1005 });
      expect(await accounts.get('robot')).toEqual(replaced);
      expect((await accounts.list()).map(({ name }) => name)).toEqual(['Zoe', 'robot']);
      expect(await accounts.delete('robot', admin)).toBe(true);
      expect(await accounts.get('robot')).toBeUndefined();
      expect((await accounts.list()).map(({ name }) => name)).toEqual(['Zoe']);
    });

    it('cannot be read, replaced or deleted if they do not exist', async () => {
      expect(await accounts.get('x')).toBeUndefined();
      expect(await accounts.replace(settings('x'), admin)).toBeUndefined();
      expect(await accounts.delete('x', admin)).toBe(false);
      expect(await accounts.tokens('x')).toEqual([]);
      expect(await accounts.deleteToken('x', '0'.repeat(16), admin)).toBe(false);
      await expect(accounts.createToken('x', noToken, admin)).rejects.toMatchObject({ code: 'CONFLICT', status: 409 });
      expect(await metadata.documents('account-token')).toEqual([]);
    });

    it.each(['robot', 'anonymous', 'alice'])('cannot be created with a name that is taken: %s', async (name) => {
      await accounts.create(settings('robot', { description: 'the first' }), admin);
      await expect(accounts.create(settings(name), admin)).rejects.toMatchObject({
        code: 'CONFLICT',
        detail: { name },
      });
      expect(await accounts.list()).toMatchObject([{ name: 'robot', description: 'the first' }]);
    });

    it('are created once by 20 concurrent attempts', async () => {
      const attempts = Array.from({ length: 20 }, () => accounts.create(settings('robot'), admin));
      const outcomes = await Promise.allSettled(attempts);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    });

    it('cannot be replaced, deleted or given a token after a concurrent deletion', async () => {
      await open('robot');
      const replacing = whenBefore('document.put', () => accounts.delete('robot', admin));
      expect(await replacing.replace(settings('robot'), admin)).toBeUndefined();
      await accounts.create(settings('robot'), admin);
      const creating = whenBefore('document.put', () => accounts.delete('robot', admin));
      await expect(creating.createToken('robot', noToken, admin)).rejects.toMatchObject({ code: 'CONFLICT' });
      await accounts.create(settings('robot'), admin);
      const deleting = whenBefore('document.delete', () => accounts.delete('robot', admin));
      expect(await deleting.delete('robot', admin)).toBe(false);
      expect([await accounts.list(), await metadata.documents('account-token')]).toEqual([[], []]);
    });

    it('store none of the other properties of the settings object', async () => {
      await accounts.create({ ...settings('robot'), createdAt: 5, secret: 'x' } as AccountSettings, admin);
      const [stored] = await metadata.documents('account');
      expect(Object.keys(stored?.value ?? {}).sort()).toEqual(
        ['createdAt', 'description', 'disabled', 'groups', 'name', 'uid', 'updatedAt'].sort(),
      );
    });
  });

  describe('by their tokens', () => {
    it('list tokens of one account in the order of their creation', async () => {
      const limits = [{ names: ['a/**'], allow: ['pull'] as const }];
      await accounts.create(settings('robot'), admin);
      await open('other');
      const made: AccountToken[] = [];
      for (const description of ['one', 'two', 'three']) {
        runtime.advance(1);
        made.push((await accounts.createToken('robot', { description, limits, expiresAt: 9000 }, admin)).token);
      }
      expect(await accounts.tokens('robot')).toEqual(made);
      expect(made[0]).toEqual({
        id: expect.stringMatching(/^[a-f0-9]{16}$/) as string,
        account: 'robot',
        description: 'one',
        limits,
        createdAt: 1001,
        expiresAt: 9000,
      });
    });

    it('delete a token by account and id', async () => {
      const { id, secret } = await open('robot');
      await accounts.create(settings('other'), admin);
      expect(await accounts.deleteToken('other', id, admin)).toBe(false);
      expect(await accounts.identify(secret)).toBeDefined();
      expect(await accounts.deleteToken('robot', id, admin)).toBe(true);
      expect(await accounts.deleteToken('robot', id, admin)).toBe(false);
      expect(await accounts.identify(secret)).toBeTypeOf('string');
    });

    it('store only a hash of the secret of a token', async () => {
      const { secret } = await open('robot');
      const part = secret.split('_').slice(2).join('_');
      const records = [...(await metadata.documents('account')), ...(await metadata.documents('account-token'))];
      const lists = [await accounts.list(), await accounts.get('robot'), await accounts.tokens('robot')];
      expect(JSON.stringify([records, lists])).not.toContain(part);
      expect(JSON.stringify(records)).toContain(createHash('sha256').update(secret).digest('hex'));
      expect(JSON.stringify(lists)).not.toContain('sha256');
      expect(JSON.stringify(runtime.log.lines)).not.toContain(part);
    });

    it('are deleted with all their tokens in one write', async () => {
      const { secret } = await open('robot');
      await open('robot');
      const { secret: kept } = await open('other');
      const writes: unknown[] = [];
      const watched = hooked(metadata, async (method, args) => {
        if (method === 'apply') writes.push(args);
      });
      expect(await new StoredAccounts(watched, runtime).delete('robot', admin)).toBe(true);
      expect(writes).toMatchObject([[[{}, {}, {}, {}], { durable: true }]]);
      expect(await metadata.documents('account-token')).toHaveLength(1);
      expect(await accounts.identify(secret)).toBeTypeOf('string');
      expect(await accounts.identify(kept)).toBeDefined();
    });

    it('accept no token that was created during their deletion, even if an account of that name is created later', async () => {
      await open('robot');
      let late: { id: string; secret: string } | undefined;
      const deleting = whenBefore('document.delete', async () => (late = await open('robot')));
      expect(await deleting.delete('robot', admin)).toBe(true);
      await accounts.create(settings('robot'), admin);
      expect(await accounts.identify(late?.secret ?? '')).toBeTypeOf('string');
      expect(await accounts.revive('robot', late?.id ?? '')).toBeUndefined();
      expect(await accounts.tokens('robot')).toEqual([]);
    });
  });

  describe('as an identity source', () => {
    it.each([
      ['aat_0123456789abcdef_x', true],
      ['aat_', true],
      ['aat', false],
      ['', false],
      ['secret', false],
      ['Aat_x', false],
      [' aat_x', false],
    ])('claim a password by its form: %j is %j', (password, claimed) => {
      expect(accounts.claims('carol', password)).toBe(claimed);
      expect(accounts.claims('', password)).toBe(claimed);
    });

    it('identify the account of a token with or without a user name', async () => {
      const limits = [{ names: ['a'], allow: ['push'] as const }];
      const { id, secret } = await open('robot', { limits, expiresAt: 5000 });
      expect(accounts.claims('robot', secret)).toBe(true);
      expect(secret).toMatch(new RegExp(`^aat_${id}_[A-Za-z0-9_-]{43}$`));
      const identity = { id: 'robot', groups: ['ci'], stamp: id, limits, expiresAt: 5000 };
      expect(await accounts.login('robot', secret)).toEqual(identity);
      expect(await accounts.identify(secret)).toEqual(identity);
      expect(await accounts.revive('robot', id)).toEqual(identity);
      expect(JSON.stringify(identity)).not.toContain(secret);
    });

    it('accept secrets that contain "_" and "-"', async () => {
      await accounts.create(settings('robot'), admin);
      const secrets: string[] = [];
      for (let i = 0; i < 50; i += 1) secrets.push((await accounts.createToken('robot', noToken, admin)).secret);
      for (const secret of secrets) expect(await accounts.login('robot', secret)).toMatchObject({ id: 'robot' });
      expect(secrets.some((secret) => secret.split('_').length > 3)).toBe(true);
      expect(new Set(secrets).size).toBe(50);
    });

    type Attempt = (secret: string, other: string) => readonly [username: string, password: string];
    it.each<[string, Attempt]>([
      ['another name', (secret) => ['other', secret]],
      ['a name in another case', (secret) => ['Robot', secret]],
      ['no name', (secret) => ['', secret]],
      ["another account's token", (_, other) => ['robot', other]],
      ['an unknown id', (secret) => ['robot', secret.replace(/^aat_[a-f0-9]{16}/, `aat_${'0'.repeat(16)}`)]],
      ['the secret of another token', (secret, other) => ['robot', secret.slice(0, 21) + other.slice(21)]],
      ['a secret cut short', (secret) => ['robot', secret.slice(0, -1)]],
      ['a longer secret', (secret) => ['robot', `${secret}x`]],
      ['no secret', (secret) => ['robot', secret.slice(0, 21)]],
      ['an id in capitals', (secret) => ['robot', `aat_A${secret.slice(5, 20).toUpperCase()}${secret.slice(20)}`]],
      ['only the prefix', () => ['robot', 'aat_']],
      ['an empty password', () => ['robot', '']],
    ])('refuse a login with %s', async (_title, make) => {
      const { secret } = await open('robot');
      const { secret: other } = await open('other');
      expect(await accounts.login(...make(secret, other))).toBeTypeOf('string');
      expect(await accounts.login('robot', secret)).toBeDefined();
    });

    it('do not accept the stored hash as a token', async () => {
      const { id } = await open('robot');
      const { sha256 } = (await metadata.document('account-token', id)) as { sha256: string };
      expect(await accounts.identify(`aat_${id}_${sha256.slice(0, 43)}`)).toBeTypeOf('string');
    });

    type End = (found: { id: string }) => Promise<unknown> | void;
    it.each<[string, End]>([
      ['deletion of the token', ({ id }) => accounts.deleteToken('robot', id, admin)],
      ['the account was disabled', () => accounts.replace(settings('robot', { disabled: true }), admin)],
      ['deletion of the account', () => accounts.delete('robot', admin)],
      [
        'the account was deleted and created again',
        async () => {
          await accounts.delete('robot', admin);
          await accounts.create(settings('robot'), admin);
        },
      ],
      ['expiry of the token', () => runtime.advance(4000)],
    ])('refuse a token and its stamp after %s', async (_title, end) => {
      const { id, secret } = await open('robot', { expiresAt: 5000 });
      runtime.advance(3999);
      expect(await accounts.revive('robot', id)).toMatchObject({ id: 'robot' });
      runtime.advance(-3999);
      await end({ id });
      expect(await accounts.login('robot', secret)).toBeTypeOf('string');
      expect(await accounts.identify(secret)).toBeTypeOf('string');
      expect(await accounts.revive('robot', id)).toBeUndefined();
    });

    it('apply changes of the account to its tokens: enabled again, other groups', async () => {
      const { id, secret } = await open('robot');
      await accounts.replace(settings('robot', { disabled: true }), admin);
      await accounts.replace(settings('robot', { groups: ['admins'] }), admin);
      expect(await accounts.login('robot', secret)).toMatchObject({ groups: ['admins'] });
      expect(await accounts.revive('robot', id)).toMatchObject({ groups: ['admins'] });
    });

    it("do not revive a login by another account's token or by an invalid stamp", async () => {
      const { id } = await open('robot');
      await accounts.create(settings('other'), admin);
      expect(await accounts.revive('other', id)).toBeUndefined();
      expect(await accounts.revive('robot', 'x')).toBeUndefined();
      expect(await accounts.revive('robot', '')).toBeUndefined();
    });

    it('keep accounts and tokens over a restart', async () => {
      const { id, secret } = await open('robot');
      await metadata.close();
      metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
      const again = new StoredAccounts(metadata, runtime);
      expect(await again.login('robot', secret)).toMatchObject({ id: 'robot', stamp: id });
      expect(await again.tokens('robot')).toMatchObject([{ id }]);
    });
  });
});
