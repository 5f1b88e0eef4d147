import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { admin } from '../../support/access/callers.js';
import { StoredRuleBook } from '../../../src/access/rules/rule-book.js';
import type { Principal } from '../../../src/ports/access/access.js';
import type { AccessRule } from '../../../src/protocol/settings/access-config.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { hooked, isApplyOf, once, TestRuntime } from '../../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const everyonePulls: AccessRule = { anonymous: true, names: ['public'], allow: ['pull'] };
const adminsRule: AccessRule = { groups: ['admins'], allow: ['admin'] };
const bobPushes: AccessRule = { users: ['bob'], names: ['team/**'], allow: ['push'] };
const bob: Principal = { id: 'bob', groups: [], via: 'basic' };
const image = { repository: 'team', image: 'app' };

describe('the rule book', () => {
  let folder: string;
  let metadata: LevelMetadataStore;
  let runtime: TestRuntime;
  let book: StoredRuleBook;
  beforeEach(async () => {
    folder = await makeScratchFolder();
    metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    runtime = new TestRuntime(1000);
    book = new StoredRuleBook([everyonePulls, adminsRule], metadata, runtime);
  });
  afterEach(async () => {
    await metadata.close();
    await removeScratchFolder(folder);
  });
  const mayPush = async (from = book) => (await from.rules()).permits(bob, 'push', image);

  const declared = [
    { id: 'declared-1', origin: 'declared', rule: everyonePulls },
    { id: 'declared-2', origin: 'declared', rule: adminsRule },
  ];

  it('lists the declared rules before the managed ones', async () => {
    expect(await book.list()).toEqual(declared);
    const made = await book.create(bobPushes, admin);
    expect(made).toEqual({
      id: expect.stringMatching(/^[a-f0-9-]{36}$/) as string,
      origin: 'managed',
      rule: bobPushes,
    });
    expect(await book.list()).toEqual([...declared, made]);
  });

  it('replaces and deletes managed rules', async () => {
    const { id } = await book.create(bobPushes, admin);
    const rule: AccessRule = { authenticated: true, allow: ['pull'] };
    expect(await book.replace(id, rule, admin)).toEqual({ id, origin: 'managed', rule });
    expect(await book.list()).toEqual([...declared, { id, origin: 'managed', rule }]);
    expect(await book.delete(id, admin)).toBe(true);
    expect(await book.delete(id, admin)).toBe(false);
    expect(await book.replace(id, rule, admin)).toBeUndefined();
    expect(await book.list()).toEqual(declared);
  });

  it.each(['declared-1', 'declared-2'])('does not change the declared rule %s', async (id) => {
    const refusal = { code: 'CONFLICT', status: 409, detail: { rule: id } };
    await expect(book.replace(id, bobPushes, admin)).rejects.toMatchObject(refusal);
    await expect(book.delete(id, admin)).rejects.toMatchObject(refusal);
    expect(await book.list()).toEqual(declared);
  });

  it.each(['declared-3', 'declared-0', 'x', ''])('does not find a rule with the unknown id %j', async (id) => {
    expect(await book.replace(id, bobPushes, admin)).toBeUndefined();
    expect(await book.delete(id, admin)).toBe(false);
    expect(await metadata.documents('rule')).toEqual([]);
  });

  it('does not restore a rule that is deleted during its replacement', async () => {
    const { id } = await book.create(bobPushes, admin);
    const store = hooked(
      metadata,
      once(isApplyOf('document.put'), () => book.delete(id, admin)),
    );
    expect(await new StoredRuleBook([], store, runtime).replace(id, bobPushes, admin)).toBeUndefined();
    expect(await metadata.documents('rule')).toEqual([]);
  });

  it('applies each change at once', async () => {
    expect(await mayPush()).toBe(false);
    const { id } = await book.create(bobPushes, admin);
    expect(await mayPush()).toBe(true);
    await book.replace(id, { ...bobPushes, names: ['other/**'] }, admin);
    expect(await mayPush()).toBe(false);
    await book.replace(id, bobPushes, admin);
    expect(await mayPush()).toBe(true);
    await book.delete(id, admin);
    expect(await mayPush()).toBe(false);
    expect((await book.rules()).mayKnow(bob, 'public')).toBe(true);
  });

  it('applies changes that another rule book writes', async () => {
    const other = new StoredRuleBook([], metadata, runtime);
    expect([await mayPush(), await mayPush(other)]).toEqual([false, false]);
    await other.create(bobPushes, admin);
    expect([await mayPush(), await mayPush(other)]).toEqual([true, true]);
  });

  it('returns the same rule set until a rule changes, even if other documents do', async () => {
    await book.create(bobPushes, admin);
    const rules = await book.rules();
    await metadata.apply([{ type: 'document.put', kind: 'account', id: 'a', value: {} }], { durable: false });
    expect(await book.rules()).toBe(rules);
    await book.create(bobPushes, admin);
    expect(await book.rules()).not.toBe(rules);
  });

  it('keeps managed rules over a restart', async () => {
    const made = await book.create(bobPushes, admin);
    await metadata.close();
    metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    const again = new StoredRuleBook([adminsRule], metadata, runtime);
    expect(await again.list()).toEqual([{ id: 'declared-1', origin: 'declared', rule: adminsRule }, made]);
    expect(await mayPush(again)).toBe(true);
  });
});
