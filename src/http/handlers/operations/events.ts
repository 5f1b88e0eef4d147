import type { Journal, JournalEntry, JournalPage } from '../../../ports/metadata/journal.js';
import { parsePageSize } from '../../../protocol/headers.js';
import {
  decodeEventsRequest,
  encodeEvents,
  type EventsRequest,
} from '../../../protocol/tables/documents/event-documents.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import type { Exchange, Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

const defaultPageSize = 100;
const maxPageSize = 1000;
/** The maximum number of entries that a request with filters examines. */
const maxExamined = 20_000;
/** The number of entries that are read at once. */
const readAtOnce = 1000;
/** The approximate size of an event in an answer. */
const bytesPerEvent = 500;

/** Creates the handler of the journal. */
export function createListEvents(journal: () => Journal): Handler<object> {
  return async ({ query, caller, turn }) => {
    const request = decodeEventsRequest(query);
    const limit = parsePageSize(query.get('n') ?? String(defaultPageSize), maxPageSize);
    await turn(limit * bytesPerEvent);
    return jsonReply(200, encodeEvents(await findEvents(journal(), request, limit, caller)), {
      'Cache-Control': 'no-store',
    });
  };
}

/**
 * Reads the journal in the direction of the request until the page is full or enough entries were examined. The cursor
 * then says where to continue, even if no event was found.
 */
async function findEvents(
  journal: Journal,
  request: EventsRequest,
  limit: number,
  { hasLeft }: Pick<Exchange<unknown>['caller'], 'hasLeft'>,
): Promise<Parameters<typeof encodeEvents>[0]> {
  if (limit === 0) return { events: [], cursor: request.cursor, latest: undefined };
  const { direction } = request;
  const isFirst = request.cursor === undefined;
  const turn = takeTurns();
  const events: JournalEntry[] = [];
  let cursor = request.cursor ?? Number.MAX_SAFE_INTEGER;
  let latest = isFirst ? 0 : undefined;
  for (let examined = 0; events.length < limit && examined < maxExamined && !hasLeft();) {
    const size = hasFilter(request) ? readAtOnce : limit - events.length;
    const entries = await journal.read(pageAt(direction, cursor, size));
    for (const entry of entries) {
      if (isFirst && latest === 0) latest = entry.seq;
      if (events.length === limit) break;
      cursor = entry.seq;
      examined++;
      if (fits(entry, request)) events.push(entry);
    }
    if (entries.length < size && events.length < limit)
      return { events, cursor: direction === 'after' ? cursor : undefined, latest };
    await turn();
  }
  return { events, cursor, latest };
}

function pageAt(direction: EventsRequest['direction'], cursor: number, limit: number): JournalPage {
  return direction === 'after' ? { after: cursor, limit } : { before: cursor, limit };
}

function hasFilter({ types, repository, image, by }: EventsRequest): boolean {
  return types.size > 0 || repository !== undefined || image !== undefined || by !== undefined;
}

function fits(entry: JournalEntry, { types, repository, image, by }: EventsRequest): boolean {
  return (
    (types.size === 0 || types.has(entry.type)) &&
    (repository === undefined || entry.repository === repository) &&
    (image === undefined || entry.image === image) &&
    (by === undefined || entry.by.principal === by)
  );
}
