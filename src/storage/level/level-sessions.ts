import type { SessionRecord } from '../../ports/metadata/metadata.js';
import type { LevelIndex } from './level-index.js';
import { rangeEnd, sessionPrefix, type StoredSession } from './level-keys.js';

const sessionsPerPage = 1000;

interface KeyedSession {
  readonly key: string;
  readonly stored: StoredSession;
}

/** Reads a page of stored sessions after a key. */
export type ReadSessions = (after: string, limit: number) => Promise<readonly KeyedSession[]>;

/** Returns a page of stored sessions, including those of deleted repositories. */
export function readSessions(index: LevelIndex, after: string, limit: number): Promise<readonly KeyedSession[]> {
  const range = { gt: after, lt: rangeEnd(sessionPrefix) };
  // Only sessions are stored under this prefix.
  return index.scan(range, limit, (key, text) => ({ key, stored: JSON.parse(text) as StoredSession }));
}

/** Lists in pages: a read that stayed open while its caller works would block reopening the index. */
export async function* listSessions(
  read: ReadSessions,
  toRecord: (stored: StoredSession) => SessionRecord | undefined,
): AsyncGenerator<SessionRecord> {
  let after = sessionPrefix;
  let page: readonly KeyedSession[];
  do {
    page = await read(after, sessionsPerPage);
    for (const { stored } of page) {
      const session = toRecord(stored);
      if (session !== undefined) yield session;
    }
    after = page.at(-1)?.key ?? after;
  } while (page.length === sessionsPerPage);
}
