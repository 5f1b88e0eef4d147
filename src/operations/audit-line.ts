import type { AuditNote } from '../ports/operations/audit.js';
import type { JournalEntry } from '../ports/metadata/journal.js';

/** A line of the audit file. */
export interface AuditLine {
  /** In milliseconds since the epoch. */
  readonly at: number;
  /** The day of `at` in UTC: `2026-07-25`. */
  readonly day: string;
  /** With the newline. */
  readonly text: string;
}

/** A note with the time when it was taken. */
export type DatedNote = AuditNote & { readonly at: number };

/** Formats a change. Its number becomes the cursor: all changes up to it are in the file. */
export function lineOfChange(entry: JournalEntry): AuditLine {
  const { seq, at, type, by, repository, image, tag, digest, was, mediaType, id, override } = entry;
  return formatLine(at, seq, {
    what: type,
    ...describeActor(by),
    repository,
    image,
    tag,
    was,
    is: digest,
    media_type: mediaType,
    override,
    id,
  });
}

/** Formats a note. @param cursor the number of the last change before it. */
export function lineOfNote({ at, what, by, details }: DatedNote, cursor: number): AuditLine {
  return formatLine(at, cursor, { what, ...describeActor(by), ...details });
}

/** Formats the line that reports notes that could not be written. */
export function lineOfDropped(at: number, cursor: number, dropped: number): AuditLine {
  return formatLine(at, cursor, { what: 'audit.dropped', lines: dropped });
}

/** Returns the cursor of a line; `undefined` if it is not a line of an audit file. */
export function cursorOf(text: string): number | undefined {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line !== 'object' || line === null || !('cursor' in line)) return undefined;
    return Number.isSafeInteger(line.cursor) ? Number(line.cursor) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the day of a line; `undefined` if it is not a line of an audit file. */
export function dayOf(text: string): string | undefined {
  return /^\{"at":"(\d{4}-\d\d-\d\d)T/.exec(text)?.[1];
}

/** Returns the day of a time in UTC. */
export function formatDay(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

function formatLine(at: number, cursor: number, fields: object): AuditLine {
  const time = new Date(at).toISOString();
  // Undefined fields are omitted.
  return { at, day: time.slice(0, 10), text: `${JSON.stringify({ at: time, cursor, ...fields })}\n` };
}

function describeActor({ principal, via, address, requestId, userAgent }: AuditNote['by']): object {
  return {
    who: principal === '' ? undefined : principal,
    via,
    address,
    request_id: requestId,
    user_agent: userAgent,
  };
}
