import { describe, expect, it } from 'vitest';
import { createListEvents } from '../../../src/http/handlers/operations/events.js';
import type { Exchange } from '../../../src/http/exchange.js';
import type { Journal, JournalEntry } from '../../../src/ports/metadata/journal.js';

/** A journal with this many entries, numbered from 1; each tenth is Ana's. Counts the entries that were read. */
class LongJournal implements Pick<Journal, 'read'> {
  readonly #entries: readonly JournalEntry[];
  wasRead = 0;

  constructor(count: number) {
    this.#entries = Array.from({ length: count }, (_, i) => ({
      seq: i + 1,
      at: 1000 + i,
      type: i % 2 === 0 ? 'manifest.pushed' : 'tag.moved',
      by: { principal: i % 10 === 9 ? 'ana' : 'ben', via: 'basic' },
      repository: 'local',
      image: `app-${i % 5}`,
    }));
  }

  read(page: Parameters<Journal['read']>[0]): Promise<readonly JournalEntry[]> {
    const found =
      'after' in page
        ? this.#entries.slice(page.after, page.after + page.limit)
        : this.#entries
            .slice(0, Math.min(page.before - 1, this.#entries.length))
            .slice(-page.limit)
            .toReversed();
    this.wasRead += found.length;
    return Promise.resolve(found);
  }
}

interface Answer {
  readonly events: readonly { readonly seq: number; readonly at: string }[];
  readonly cursor: string | null;
  readonly latest?: string;
}

async function list(journal: LongJournal, query: string): Promise<Answer> {
  const exchange: Partial<Exchange<object>> = {
    query: new URLSearchParams(query),
    turn: () => Promise.resolve(),
  };
  const caller = { hasLeft: () => false };
  // The handler reads nothing else of the journal and the exchange.
  const handler = createListEvents(() => journal as unknown as Journal);
  const { body } = await handler({ ...exchange, caller } as unknown as Exchange<object>);
  return JSON.parse(body as string) as Answer;
}

const seqs = ({ events }: Answer): number[] => events.map(({ seq }) => seq);

describe('GET /api/v1/events', () => {
  it('lists the newest events first and pages back to the first one', async () => {
    const journal = new LongJournal(7);
    const first = await list(journal, 'n=3');
    expect([seqs(first), first.cursor, first.latest]).toEqual([[7, 6, 5], '5', '7']);
    expect(first.events[0]?.at).toBe(new Date(1006).toISOString());
    const second = await list(journal, `n=3&before=${first.cursor}`);
    expect([seqs(second), second.cursor, second.latest]).toEqual([[4, 3, 2], '2', undefined]);
    const third = await list(journal, `n=3&before=${second.cursor}`);
    expect([seqs(third), third.cursor]).toEqual([[1], null]);
  });

  it('continues from a cursor, also when nothing is new', async () => {
    const first = await list(new LongJournal(5), 'after=2');
    expect([seqs(first), first.cursor]).toEqual([[3, 4, 5], '5']);
    const nothing = await list(new LongJournal(5), 'after=5&by=ana');
    expect([seqs(nothing), nothing.cursor]).toEqual([[], '5']);
    const later = await list(new LongJournal(8), `after=${nothing.cursor}`);
    expect([seqs(later), later.cursor]).toEqual([[6, 7, 8], '8']);
    const start = await list(new LongJournal(0), '');
    expect([seqs(start), start.cursor, start.latest]).toEqual([[], null, '0']);
  });

  it.each([
    ['types=tag.moved', [10, 8, 6, 4, 2]],
    ['types=tag.moved&types=manifest.pushed&image=app-1', [7, 2]],
    ['by=ana', [10]],
    ['repository=other', []],
    ['repository=local&image=app-4&by=ben', [5]],
  ])('filters by %s', async (query, expected) => {
    const answer = await list(new LongJournal(10), query);
    expect([seqs(answer), answer.cursor]).toEqual([expected, null]);
  });

  it('examines a bounded number of entries and returns where to continue', async () => {
    const journal = new LongJournal(45_000);
    const found: number[] = [];
    let query = 'by=nobody';
    let requests = 0;
    for (let cursor: string | null = ''; cursor !== null; requests++) {
      const before = journal.wasRead;
      const answer = await list(journal, query);
      expect(journal.wasRead - before).toBeLessThanOrEqual(20_000);
      found.push(...seqs(answer));
      ({ cursor } = answer);
      query = `by=nobody&before=${cursor}`;
    }
    expect([found, requests]).toEqual([[], 3]);
  });

  it('finds each event once with filters, in both directions', async () => {
    const journal = new LongJournal(2500);
    const expected = Array.from({ length: 250 }, (_, i) => (i + 1) * 10);
    const forward: number[] = [];
    for (let cursor = '0', more = true; more;) {
      const answer = await list(journal, `by=ana&n=7&after=${cursor}`);
      forward.push(...seqs(answer));
      more = answer.events.length > 0;
      cursor = answer.cursor ?? '';
    }
    expect(forward).toEqual(expected);
    const back: number[] = [];
    for (let query: string | undefined = 'by=ana&n=7'; query !== undefined;) {
      const answer: Answer = await list(journal, query);
      back.push(...seqs(answer));
      query = answer.cursor === null ? undefined : `by=ana&n=7&before=${answer.cursor}`;
    }
    expect(back).toEqual(expected.toReversed());
  });

  it.each([
    ['after=x', ['after']],
    ['before=-1', ['before']],
    ['before=99999999999999999999', ['before']],
    ['after=1&before=2', ['before']],
    ['types=tag.moved&types=cake.baked', ['types[1]']],
  ])('refuses %s', async (query, paths) => {
    const error: unknown = await list(new LongJournal(1), query).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'OPTIONS_INVALID', details: [paths.map((path) => ({ path }))] });
  });
});
