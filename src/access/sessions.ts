import { createHash, randomBytes } from 'node:crypto';
import type { ClientInfo, Identity, IdentitySource, Principal, SessionKeeper } from '../ports/access.js';
import type { Documents } from '../ports/documents.js';
import type { Change, MetadataWriter } from '../ports/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';

const valuePattern = /^aas_[A-Za-z0-9_-]{43}$/;
const secretBytes = 32;
/** A session ends this long after the login. */
const maxAgeMs = 12 * 3600 * 1000;
/** A session ends after this time without a request. */
const maxIdleMs = 3600 * 1000;
/** How exactly the time of the last request is stored: not each request is a write. */
const seenPrecisionMs = 60_000;
/** Further logins end the oldest sessions. */
const maxSessions = 1000;

/** A session as stored in the index, under the SHA-256 of its value. */
interface StoredSession {
  readonly user: string;
  readonly source: IdentitySource['kind'];
  readonly stamp: string;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly address: string;
}

/** The dependencies of `Sessions`. */
export interface SessionParts {
  readonly metadata: Documents & MetadataWriter;
  readonly runtime: Runtime;
  /** Returns the user if the credential with this stamp is still valid. */
  readonly revive: (kind: IdentitySource['kind'], id: string, stamp: string) => Promise<Identity | undefined>;
}

/** Keeps the logins of people who use the web UI in the index. A login ends with its password or token. */
export class Sessions implements SessionKeeper {
  readonly #parts: SessionParts;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  async start({ id, source, stamp }: Principal, { address }: Pick<ClientInfo, 'address'>): Promise<string> {
    if (source === undefined || stamp === undefined) {
      const message = 'this login cannot have a session: use a password, or a token of an account';
      throw new RegistryError('UNSUPPORTED', { status: 400, message });
    }
    const now = this.#parts.runtime.now();
    const value = `aas_${randomBytes(secretBytes).toString('base64url')}`;
    const session: StoredSession = { user: id, source, stamp, createdAt: now, seenAt: now, address };
    await this.#apply([...(await this.#surplus(now)), put(hash(value), session)], true);
    return value;
  }

  async identify(value: string): Promise<Principal | undefined> {
    if (!valuePattern.test(value)) return undefined;
    const id = hash(value);
    const session = (await this.#parts.metadata.document('session', id)) as StoredSession | undefined;
    if (session === undefined) return undefined;
    const now = this.#parts.runtime.now();
    const identity = isOver(session, now)
      ? undefined
      : await this.#parts.revive(session.source, session.user, session.stamp);
    if (identity === undefined || (identity.expiresAt ?? Infinity) <= now) {
      await this.#apply([remove(id)], false);
      return undefined;
    }
    if (now - session.seenAt >= seenPrecisionMs) {
      const require = [{ type: 'document', kind: 'session', id, is: 'present' }] as const;
      await this.#parts.metadata.tryApply([put(id, { ...session, seenAt: now })], { durable: false, require });
    }
    return { ...identity, via: 'session', source: session.source, stamp: session.stamp };
  }

  async end(value: string): Promise<void> {
    if (valuePattern.test(value)) await this.#apply([remove(hash(value))], true);
  }

  /** Returns the removal of sessions that are over, and of the oldest ones if there are too many. */
  async #surplus(now: number): Promise<readonly Change[]> {
    const all = (await this.#parts.metadata.documents('session')).map(({ id, value }) => ({
      id,
      session: value as StoredSession,
    }));
    const over = all.filter(({ session }) => isOver(session, now));
    const live = all
      .filter(({ session }) => !isOver(session, now))
      .sort((one, other) => other.session.createdAt - one.session.createdAt);
    return [...over, ...live.slice(maxSessions - 1)].map(({ id }) => remove(id));
  }

  async #apply(changes: readonly Change[], durable: boolean): Promise<void> {
    await this.#parts.metadata.apply(changes, { durable });
  }
}

function isOver({ createdAt, seenAt }: StoredSession, now: number): boolean {
  return now - createdAt >= maxAgeMs || now - seenAt >= maxIdleMs;
}

function put(id: string, value: StoredSession): Change {
  return { type: 'document.put', kind: 'session', id, value };
}

function remove(id: string): Change {
  return { type: 'document.delete', kind: 'session', id };
}

function hash(value: string): string {
  return createHash('sha256').update(value).digest('hex');
}
