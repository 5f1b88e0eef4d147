/** The audit file: its records besides the changes that it reads from the journal. */
import type { Actor } from '../metadata/journal.js';

/** The kinds of records of the audit file. `denied`: requests that were refused with 403. */
export type AuditEvent = 'change' | 'login' | 'denied';

/** An event that is not in the journal. */
export interface AuditNote {
  readonly event: AuditEvent;
  /** What happened, as in the names of events: `login.refused`. */
  readonly what: string;
  /** An empty principal is omitted: the user is not known. */
  readonly by: Omit<Actor, 'via'> & { readonly via?: string | undefined };
  /** Further fields of the line, without secrets. */
  readonly details: Readonly<Record<string, string>>;
}

/**
 * Collects notes for the audit file. Never waits and never throws: notes that cannot be written are dropped and
 * counted.
 */
export interface AuditTrail {
  note(note: AuditNote): void;
  /** Notes a login, at most once an hour for the same user, address and method. */
  login(by: Actor): void;
}
