import { expect, it } from 'vitest';
import { readFeed, WaitingEvents, type FeedJournal } from '../../../src/operations/webhooks/journal-feed.js';
import type { JournalEntry } from '../../../src/ports/metadata/journal.js';
import { parseTag } from '../../../src/protocol/names.js';
import { ana } from '../../support/webhooks/scene.js';

/** A journal with one push for each number, which counts the entries that are read. */
class CountedJournal implements FeedJournal {
  newest = 0;
  trimmed = 0;
  examined = 0;

  read(page: Parameters<FeedJournal['read']>[0]): Promise<JournalEntry[]> {
    const after = 'after' in page ? Math.max(page.after, this.trimmed) : this.newest - page.limit;
    const entries: JournalEntry[] = [];
    for (let seq = after + 1; seq <= this.newest && entries.length < page.limit; seq++) {
      const tag = parseTag(`v${seq}`);
      entries.push({ seq, at: seq, type: 'tag.moved', by: ana, repository: 'local', image: 'app', tag });
    }
    this.examined += entries.length;
    return Promise.resolve(entries);
  }

  trimmedTo(): Promise<number> {
    return Promise.resolve(this.trimmed);
  }
}

it('counts each entry of the journal once, and follows deliveries, new events and trimmed entries', async () => {
  const journal = new CountedJournal();
  const waiting = new WaitingEvents(journal, { events: ['push'], names: undefined }, 1000);
  const steps: [newest: number, trimmed: number, cursor: number, deliveries: number, count: number, read: number][] = [
    [0, 0, 0, 0, 0, 0],
    [5, 0, 0, 0, 5, 5],
    // Nothing changed.
    [5, 0, 0, 0, 5, 0],
    // New events, then deliveries.
    [8, 0, 0, 0, 8, 3],
    [8, 0, 3, 3, 5, 0],
    [9, 0, 7, 7, 2, 1],
    [9, 0, 9, 9, 0, 0],
    // Beyond the maximum, nothing more is examined.
    [5000, 0, 9, 9, 1000, 1500],
    [9000, 0, 9, 9, 1000, 0],
    // After trimming, one event `journal.gap` replaces what is missing.
    [9000, 8990, 9, 9, 11, 10],
    [9000, 8990, 8990, 10, 10, 0],
    // An index that was restored from a backup.
    [20, 0, 12, 3, 8, 8],
  ];
  for (const [newest, trimmed, cursor, deliveries, count, read] of steps) {
    Object.assign(journal, { newest, trimmed, examined: 0 });
    const found = await waiting.count({ cursor, deliveries });
    expect([newest, cursor, found, journal.examined]).toEqual([newest, cursor, count, read]);
  }
});

it('reads a repaired journal, whose lost entries are newer than others that are left, in order and once', async () => {
  const journal = new CountedJournal();
  journal.newest = 5;
  const repaired: FeedJournal = {
    read: async (page) => (await journal.read(page)).filter(({ seq }) => seq !== 4),
    trimmedTo: () => Promise.resolve(4),
  };
  const config = { events: ['push'] as const, names: undefined };
  const read = async (cursor: number): Promise<unknown[]> => {
    const page = await readFeed(repaired, cursor, config);
    return [...page.events.map(({ seq, event }) => `${seq} ${event.type}`), page.cursor];
  };
  expect(await read(2)).toEqual(['3 tag.moved', '4 journal.gap', '5 tag.moved', 5]);
  expect(await read(3)).toEqual(['4 journal.gap', '5 tag.moved', 5]);
  expect(await read(4)).toEqual(['5 tag.moved', 5]);
});
