import type { Journal, JournalEntry } from '../../ports/metadata/journal.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { eventOfEntry, isSubscribed, type OutgoingEvent } from './webhook-event.js';

/** The number of entries that are examined at once. */
const pageSize = 200;
/** The number of entries that are examined for a count. */
const maxCounted = 10_000;
/** The number of entries after a pushed manifest in which its tags are looked for. */
const aheadSize = 100;

/** The dependencies of a feed. */
export type FeedJournal = Pick<Journal, 'read' | 'trimmedTo'>;

/** An event of the journal and its number. */
export interface JournalEvent {
  readonly seq: number;
  readonly event: OutgoingEvent;
}

/** Events after a cursor. */
export interface FeedPage {
  readonly events: readonly JournalEvent[];
  /** The last entry that was examined: the cursor after all events have been handled. */
  readonly cursor: number;
  /** Whether no further events follow now. */
  readonly isEnd: boolean;
}

/** Returns the number of the newest entry; 0 if there is none. */
export async function newestOf(journal: Pick<Journal, 'read'>): Promise<number> {
  const [newest] = await journal.read({ before: Number.MAX_SAFE_INTEGER, limit: 1 });
  return newest?.seq ?? 0;
}

/** Reads the events of a webhook that follow a cursor. `journal.gap` is among them where entries are missing. */
export async function readFeed(
  journal: FeedJournal,
  cursor: number,
  config: Pick<WebhookConfig, 'events' | 'names'>,
): Promise<FeedPage> {
  const { entries, trimmed } = await readSteadily(journal, cursor);
  const examined = entries.slice(0, pageSize);
  const events = examined
    .filter((entry, i) => isSubscribed(config, entry) && !isTagged(entry, entries.slice(i + 1)))
    .map((entry) => ({ seq: entry.seq, event: eventOfEntry(entry) }));
  // After a repair, entries may be left that are older than lost ones.
  const next = trimmed > cursor ? examined.find(({ seq }) => seq > trimmed) : undefined;
  const place = next === undefined ? -1 : events.findIndex(({ seq }) => seq > trimmed);
  if (next !== undefined) events.splice(place < 0 ? events.length : place, 0, createGap(cursor, trimmed, next.at));
  return { events, cursor: examined.at(-1)?.seq ?? cursor, isEnd: entries.length <= pageSize };
}

/** Reads entries, and how far the journal was trimmed at that moment. */
async function readSteadily(
  journal: FeedJournal,
  after: number,
): Promise<{ readonly entries: readonly JournalEntry[]; readonly trimmed: number }> {
  for (let before = await journal.trimmedTo(); ;) {
    const entries = await journal.read({ after, limit: pageSize + aheadSize });
    const trimmed = await journal.trimmedTo();
    if (trimmed === before) return { entries, trimmed };
    before = trimmed;
  }
}

/** The progress of a webhook, as needed for a count of waiting events. */
export interface FeedPosition {
  readonly cursor: number;
  /** Events that were handled so far. */
  readonly deliveries: number;
}

/** A count of the events between a position and the last entry that was examined. */
interface Count {
  readonly from: FeedPosition;
  readonly to: number;
  readonly events: number;
}

/**
 * Counts the events that wait for a webhook with these settings, up to a maximum. Remembers what it counted, so that each
 * entry of the journal is examined once, however often the count is read.
 */
export class WaitingEvents {
  readonly #journal: FeedJournal;
  readonly #config: Pick<WebhookConfig, 'events' | 'names'>;
  readonly #max: number;
  #last: Count | undefined;

  constructor(journal: FeedJournal, config: Pick<WebhookConfig, 'events' | 'names'>, max: number) {
    this.#journal = journal;
    this.#config = config;
    this.#max = max;
  }

  /** Returns the number of events that wait behind a position. */
  async count(position: FeedPosition): Promise<number> {
    let { to, events } = await this.#resume(position);
    for (let examined = 0; events < this.#max && examined < maxCounted; examined += pageSize) {
      const page = await readFeed(this.#journal, to, this.#config);
      events += page.events.length;
      to = page.cursor;
      if (page.isEnd) break;
    }
    this.#last = { from: position, to, events };
    return Math.min(events, this.#max);
  }

  /** Returns what is left of the last count. Starts again where entries were trimmed. */
  async #resume({ cursor, deliveries }: FeedPosition): Promise<Pick<Count, 'to' | 'events'>> {
    const last = this.#last;
    const done = deliveries - (last?.from.deliveries ?? 0);
    if (last === undefined || cursor < last.from.cursor || cursor >= last.to || done < 0)
      return { to: cursor, events: 0 };
    if ((await this.#journal.trimmedTo()) > cursor) return { to: cursor, events: 0 };
    return { to: last.to, events: Math.max(0, last.events - done) };
  }
}

/** Reads the event with a number; `undefined` if the journal no longer has it. */
export async function readEvent(journal: Pick<Journal, 'read'>, seq: number): Promise<OutgoingEvent | undefined> {
  const [entry] = await journal.read({ after: seq - 1, limit: 1 });
  return entry?.seq === seq ? eventOfEntry(entry) : undefined;
}

/** Returns whether the tags of a pushed manifest follow. They are sent instead of it, one event each. */
function isTagged(entry: JournalEntry, following: readonly JournalEntry[]): boolean {
  if (entry.type !== 'manifest.pushed' && entry.type !== 'manifest.restored') return false;
  return following
    .slice(0, aheadSize)
    .some(
      ({ type, repository, image, digest, at, by }) =>
        type === 'tag.moved' &&
        repository === entry.repository &&
        image === entry.image &&
        digest === entry.digest &&
        at === entry.at &&
        by.requestId === entry.by.requestId,
    );
}

/** Creates the event for entries that were trimmed before a webhook got them. */
function createGap(cursor: number, trimmed: number, at: number): JournalEvent {
  const more = { afterSeq: cursor, beforeSeq: trimmed + 1 };
  return { seq: trimmed, event: { id: `${trimmed}-gap-${cursor}`, at, type: 'journal.gap', more } };
}
