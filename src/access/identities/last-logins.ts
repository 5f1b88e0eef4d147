import { LRUCache } from 'lru-cache';
import type { Documents } from '../../ports/metadata/documents.js';
import type { Change, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';

/** The precision with which the time of the last login is stored, so that not every login is a write. */
export const loginPrecisionMs = 3600_000;
const maxRemembered = 10_000;

/** The dependencies of `LastLogins`. */
export interface LastLoginsParts {
  readonly metadata: Documents & MetadataWriter;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
}

/** Stores when users last logged in with a password or a token: at most one write an hour and user. */
export class LastLogins {
  readonly #parts: LastLoginsParts;
  /** When the last login that was stored happened, by user: a login within the hour costs a look-up here. */
  readonly #stored = new LRUCache<string, number>({ maxSize: maxRemembered, sizeCalculation: () => 1 });

  constructor(parts: LastLoginsParts) {
    this.#parts = parts;
  }

  /** Returns when the user last logged in, to the hour; `undefined` if that never happened. */
  async at(user: string): Promise<number | undefined> {
    const found = (await this.#parts.metadata.document('last-login', idOf(user))) as { at: number } | undefined;
    return found?.at;
  }

  /** Notes a login. A failure is logged: it must not keep anyone out. */
  async note(user: string): Promise<void> {
    const { metadata, runtime } = this.#parts;
    const at = runtime.now();
    const isRecent = (before: number | undefined): boolean => before !== undefined && at - before < loginPrecisionMs;
    if (isRecent(this.#stored.get(user))) return;
    try {
      const before = await this.at(user);
      if (!isRecent(before)) {
        const id = idOf(user);
        await metadata.apply([{ type: 'document.put', kind: 'last-login', id, value: { at } }], { durable: false });
      }
      this.#stored.set(user, isRecent(before) && before !== undefined ? before : at);
    } catch (error) {
      runtime.log.warn({ err: error }, 'failed to store the time of a login');
    }
  }
}

/** Returns the change that deletes the time: someone else may get the name. */
export function forgetLogin(user: string): Change {
  return { type: 'document.delete', kind: 'last-login', id: idOf(user) };
}

/** Distinct from the ids of people (`stored-people.ts`). */
function idOf(user: string): string {
  return `login:${user}`;
}
