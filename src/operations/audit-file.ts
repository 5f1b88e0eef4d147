import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent, AuditNote, AuditTrail } from '../ports/operations/audit.js';
import type { Actor, Journal } from '../ports/metadata/journal.js';
import type { Runtime } from '../ports/runtime.js';
import { isRecent } from '../protocol/recent.js';
import {
  cursorOf,
  dayOf,
  formatDay,
  lineOfChange,
  lineOfDropped,
  lineOfNote,
  type AuditLine,
  type DatedNote,
} from './audit-line.js';
import { RotatingFile } from './rotating-file.js';

/** How long a change waits to be written. */
const intervalMs = 1000;
/** Maximum number of waiting notes, for example during an attack with refused logins. Further ones are dropped. */
const maxNotes = 10_000;
/** The number of lines that are formatted at once. */
const maxBatch = 500;
/** The time after which a login is recorded again. */
const loginMs = 3_600_000;
/** The number of logins that are remembered, so that they are not recorded again. */
const maxLogins = 10_000;
const dayMs = 86_400_000;

/** The option `audit`. All but the file may be getters, whose values change while the file is open. */
export interface AuditSettings {
  readonly file: string;
  readonly keepDays: number;
  readonly maxBytes: number;
  readonly events: readonly AuditEvent[];
}

/** The dependencies of the audit file. */
export interface AuditParts {
  readonly journal: Pick<Journal, 'read'>;
  readonly runtime: Runtime;
}

/** Thrown when the audit file cannot be written. The registry then does not start. */
export class AuditFileError extends Error {
  override readonly name = 'AuditFileError';
  readonly code = 'AUDIT_FILE_UNUSABLE';

  constructor(file: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`the audit file "${file}" cannot be used: ${reason}`, { cause });
  }
}

/**
 * Writes changes, logins and refusals with their users, as JSON lines. Changes come from the journal: each is in the file
 * exactly once, because every line has the number of the last change before it, and a new process continues after the
 * last line. Notes wait in memory. No request waits for the file.
 */
export class AuditFile implements AuditTrail {
  readonly #parts: AuditParts;
  readonly #settings: AuditSettings;
  readonly #file: RotatingFile;
  readonly #closing = new AbortController();
  /** The number of the last change in the file. */
  #cursor: number;
  #notes: DatedNote[] = [];
  /** When each login was recorded, earliest first. */
  readonly #logins = new Map<string, number>();
  /** Notes that were dropped, and not reported in the file yet. */
  #dropped = 0;
  #isFailing = false;
  readonly #running: Promise<void>;

  private constructor(settings: AuditSettings, parts: AuditParts, file: RotatingFile, cursor: number) {
    this.#settings = settings;
    this.#parts = parts;
    this.#file = file;
    this.#cursor = cursor;
    this.#running = this.#run();
  }

  /**
   * Opens the file and begins to write. A new file begins with the oldest change in the journal.
   * @throws AuditFileError
   */
  static async open(settings: AuditSettings, parts: AuditParts): Promise<AuditFile> {
    const daysAgo = (days: number): string => formatDay(parts.runtime.now() - days * dayMs);
    const dayOfLine = (line: string): string | undefined => (cursorOf(line) === undefined ? undefined : dayOf(line));
    let file: RotatingFile;
    try {
      file = await RotatingFile.open(settings.file, {
        get keepDays() {
          return settings.keepDays;
        },
        get maxBytes() {
          return settings.maxBytes;
        },
        daysAgo,
        dayOf: dayOfLine,
      });
    } catch (error) {
      throw new AuditFileError(settings.file, error);
    }
    const [newest] = await parts.journal.read({ before: Number.MAX_SAFE_INTEGER, limit: 1 });
    const cursor = cursorOf(file.lastLine ?? '') ?? 0;
    // An index that was restored, or lost its last writes in a power cut, numbers its next changes from there.
    return new AuditFile(settings, parts, file, Math.min(cursor, newest?.seq ?? 0));
  }

  note(note: AuditNote): void {
    if (!this.#settings.events.includes(note.event)) return;
    if (this.#notes.length < maxNotes) {
      this.#notes.push({ ...note, at: this.#parts.runtime.now() });
      return;
    }
    if (this.#dropped === 0) this.#parts.runtime.log.error({ waiting: maxNotes }, 'audit lines are being dropped');
    this.#dropped++;
  }

  login(by: Actor): void {
    if (!this.#settings.events.includes('login')) return;
    const now = this.#parts.runtime.now();
    const key = JSON.stringify([by.principal, by.via, by.address]);
    const before = this.#logins.get(key);
    if (before !== undefined && isRecent(before, loginMs, now)) return;
    this.#logins.delete(key);
    this.#logins.set(key, now);
    const [oldest] = this.#logins.keys();
    if (this.#logins.size > maxLogins && oldest !== undefined) this.#logins.delete(oldest);
    this.note({ event: 'login', what: 'login.succeeded', by, details: {} });
  }

  /** Writes what remains and closes the file. Call it after the last change of the index. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await this.#attempt();
    if (this.#notes.length > 0) {
      this.#parts.runtime.log.error({ dropped: this.#dropped + this.#notes.length }, 'audit lines dropped');
    }
    await this.#file.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#attempt();
      await sleep(intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Writes everything that is waiting. Changes that cannot be written now stay in the journal, and notes in memory. */
  async #attempt(): Promise<void> {
    const { log } = this.#parts.runtime;
    try {
      while (await this.#writeBatch());
      if (this.#isFailing) log.warn({ file: this.#settings.file }, 'audit file is writable again');
      this.#isFailing = false;
    } catch (err) {
      if (!this.#isFailing) log.error({ err, file: this.#settings.file }, 'audit file could not be written');
      this.#isFailing = true;
    }
  }

  /** Returns whether there may be more. */
  async #writeBatch(): Promise<boolean> {
    const isReading = this.#settings.events.includes('change');
    const entries = isReading ? await this.#parts.journal.read({ after: this.#cursor, limit: maxBatch }) : [];
    const notes = this.#notes.slice(0, maxBatch);
    const changes = entries.map((entry) => ({ line: lineOfChange(entry), cursor: entry.seq }));
    await this.#write(changes, notes);
    if (notes.length < maxBatch) await this.#reportDropped();
    return entries.length === maxBatch || this.#notes.length > 0;
  }

  /** Writes changes and notes in the order of their times. */
  async #write(changes: readonly Change[], notes: readonly DatedNote[]): Promise<void> {
    const [left, waiting] = [[...changes], [...notes]];
    const steps: Step[] = [];
    let cursor = this.#cursor;
    for (;;) {
      const [change, note] = [left[0], waiting[0]];
      if (change !== undefined && (note === undefined || change.line.at <= note.at)) {
        left.shift();
        cursor = change.cursor;
        steps.push({ line: change.line, cursor, isNote: false });
      } else if (note !== undefined) {
        waiting.shift();
        steps.push({ line: lineOfNote(note, cursor), cursor, isNote: true });
      } else break;
    }
    for (let rest = steps; rest.length > 0;) {
      const count = await this.#file.append(rest.map(({ line }) => line));
      const written = rest.slice(0, count);
      this.#cursor = written.at(-1)?.cursor ?? this.#cursor;
      this.#notes.splice(0, written.filter(({ isNote }) => isNote).length);
      rest = rest.slice(count);
    }
  }

  async #reportDropped(): Promise<void> {
    const dropped = this.#dropped;
    if (dropped === 0) return;
    const { runtime } = this.#parts;
    await this.#file.append([lineOfDropped(runtime.now(), this.#cursor, dropped)]);
    this.#dropped -= dropped;
    runtime.log.error({ dropped }, 'audit lines dropped');
  }
}

interface Change {
  readonly line: AuditLine;
  readonly cursor: number;
}

interface Step extends Change {
  readonly isNote: boolean;
}
