import type { EventDocument, EventsDocument } from '../../documents/activity.js';
import type { Problem } from '../../settings/option-schema.js';
import { encodeDocument, problemsFound } from './encoding.js';

const documents = [
  'repository',
  'account',
  'account-token',
  'person',
  'rule',
  'signing-key',
  'job',
  'retention',
  'sync',
  'quota',
  'webhook',
  'damage',
] as const;

/** The types of journal entries: a noun and a past participle, as in the names of events. */
const eventTypes = [
  'tag.moved',
  'tag.deleted',
  'manifest.pushed',
  'manifest.deleted',
  'manifest.restored',
  'manifest.purged',
  ...documents.flatMap((noun) => [`${noun}.created`, `${noun}.replaced`, `${noun}.deleted`] as const),
] as const;

/** A type of `eventTypes`. */
export type EventType = (typeof eventTypes)[number];

/** The events that a request asks for: those after a cursor, oldest first, or those before one, newest first. */
export interface EventsRequest {
  readonly direction: 'after' | 'before';
  /** Absent: from the newest on. */
  readonly cursor: number | undefined;
  readonly types: ReadonlySet<string>;
  readonly repository: string | undefined;
  readonly image: string | undefined;
  /** The id of a principal. */
  readonly by: string | undefined;
}

/** Decodes the query of `event.list`, except `n`. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeEventsRequest(query: URLSearchParams): EventsRequest {
  const problems: Problem[] = [];
  const read = (name: 'after' | 'before'): number | undefined => {
    const text = query.get(name);
    if (text === null || /^[0-9]{1,15}$/.test(text)) return text === null ? undefined : Number(text);
    problems.push({ path: name, problem: 'must be a cursor of an earlier answer' });
    return undefined;
  };
  const [after, before] = [read('after'), read('before')];
  if (query.has('after') && query.has('before'))
    problems.push({ path: 'before', problem: 'cannot be combined with after' });
  const types = query.getAll('types');
  const known: readonly string[] = eventTypes;
  types.forEach((type, i) => {
    if (!known.includes(type)) problems.push({ path: `types[${i}]`, problem: `must be one of ${known.join(', ')}` });
  });
  if (problems.length > 0) throw problemsFound(problems);
  return {
    direction: query.has('after') ? 'after' : 'before',
    cursor: after ?? before,
    types: new Set(types),
    repository: query.get('repository') ?? undefined,
    image: query.get('image') ?? undefined,
    by: query.get('by') ?? undefined,
  };
}

/** A page of events, as the journal has them. */
interface EventsPage {
  readonly events: readonly object[];
  /** Where the next page in the same direction begins. Absent when nothing older is left. */
  readonly cursor: number | undefined;
  /** The newest event when the first page of the newest events was read. */
  readonly latest: number | undefined;
}

/** Returns a page of events as the API shows it. */
export function encodeEvents({ events, cursor, latest }: EventsPage): EventsDocument {
  return {
    events: events.map((event) => encodeDocument(event) as EventDocument),
    cursor: cursor === undefined ? null : String(cursor),
    ...(latest === undefined ? {} : { latest: String(latest) }),
  };
}
