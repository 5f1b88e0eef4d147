import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { SignedIn } from '../../../src/ports/access/sessions.js';
import { StoredPeople } from '../../../src/access/identities/stored-people.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { memoryDocuments } from '../../support/storage/documents.js';

const hour = 3600_000;

describe('a user of the host application, while nothing can be stored', () => {
  const by = { principal: 'ana', via: 'host' } as const;
  let now: number;
  let people: StoredPeople;

  beforeEach(async () => {
    now = 1_000_000_000;
    const metadata = memoryDocuments();
    people = new StoredPeople({
      metadata,
      runtime: { now: () => now, newId: () => 'uid', log: recordingLogger() },
      isTaken: () => Promise.resolve(false),
      isTrusted: () => true,
    });
    await people.enrol('ana', ['team'], by);
    now += hour;
    vi.spyOn(metadata, 'tryApply').mockRejectedValue(new Error('no space left on device'));
  });

  it('is admitted although the time of the login is not stored', async () => {
    await expect(people.meet({ id: 'ana', groups: ['team'] })).resolves.toBeUndefined();
  });

  it('is refused with other groups, because tokens would keep the old ones', async () => {
    await expect(people.meet({ id: 'ana', groups: [] })).rejects.toThrow('no space left on device');
  });
});

describe('a name that two login providers report', () => {
  const ana = (provider: string): SignedIn => ({ id: 'ana', groups: [provider], stamp: provider });
  let configured: Set<string>;
  let people: StoredPeople;

  beforeEach(() => {
    configured = new Set(['acme', 'other']);
    people = new StoredPeople({
      metadata: memoryDocuments(),
      runtime: { now: () => 1, newId: () => 'uid', log: recordingLogger() },
      isTaken: () => Promise.resolve(false),
      isTrusted: (_source, provider) => provider !== undefined && configured.has(provider),
    });
  });

  it('belongs to the user of the first provider, and keeps the groups of that user', async () => {
    await people.signIn(ana('acme'));
    expect(await people.signIn(ana('other'))).toBe('name taken');
    expect(await people.signIn(ana('acme'))).toMatchObject({ id: 'ana', groups: ['acme'] });
    expect(await people.describe('ana')).toMatchObject({ groups: ['acme'] });
  });

  it('belongs to one user if both are reported for the first time at once', async () => {
    const answers = await Promise.all([people.signIn(ana('acme')), people.signIn(ana('other'))]);
    const [winner] = answers.filter((answer) => typeof answer === 'object');
    expect(answers.filter((answer) => answer === 'name taken')).toHaveLength(1);
    expect(await people.describe('ana')).toMatchObject({ groups: winner?.groups });
  });

  it('belongs to the user of the second provider once the first is no longer configured', async () => {
    await people.signIn(ana('acme'));
    configured.delete('acme');
    expect(await people.signIn(ana('other'))).toMatchObject({ id: 'ana', groups: ['other'] });
    configured.add('acme');
    expect(await people.signIn(ana('acme'))).toBe('name taken');
  });
});
