import { createHash, randomBytes } from 'node:crypto';
import type {
  Identity,
  IdentitySource,
  Principal,
  Session,
  SessionClient,
  SessionKeeper,
} from '../ports/access/access.js';
import type { Documents } from '../ports/metadata/documents.js';
import type { Change, MetadataWriter } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import { Semaphore } from '../util/scheduling/concurrency.js';

const valuePattern = /^aas_[A-Za-z0-9_-]{43}$/;
const secretBytes = 32;
/** A session ends this long after the login. */
const maxAgeMs = 12 * 3600 * 1000;
/** A session ends after this time without a request. */
const maxIdleMs = 3600 * 1000;
/** The precision with which the time of the last request is stored, so that not every request is a write. */
const seenPrecisionMs = 60_000;
/** The maximum number of sessions of one user. Further logins end the user's oldest ones, not those of everyone else. */
const maxSessionsPerUser = 20;
/**
 * The maximum number of all sessions. Beyond it, a login ends the user's oldest session, or the oldest of all if the user
 * has none.
 */
const maxSessions = 1000;

/** A session as stored in the index, under the SHA-256 of its value. */
interface StoredSession {
  readonly user: string;
  readonly source: IdentitySource['kind'];
  readonly stamp: string;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly address: string;
  readonly agent?: string | undefined;
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
  /** Concurrent logins would all count the sessions before any of them is stored. */
  readonly #starts = new Semaphore(1);

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  async start({ id, source, stamp }: Principal, { address, agent }: SessionClient): Promise<string> {
    if (source === undefined || stamp === undefined) {
      const message = 'this login cannot have a session: use a password, or a token of an account';
      throw new RegistryError('UNSUPPORTED', { status: 400, message });
    }
    const now = this.#parts.runtime.now();
    const value = `aas_${randomBytes(secretBytes).toString('base64url')}`;
    const session: StoredSession = { user: id, source, stamp, createdAt: now, seenAt: now, address, agent };
    await this.#starts.run(async () => {
      await this.#apply([...(await this.#surplus(id, now)), put(hash(value), session)], true);
    });
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

  async list({ user, value = '' }: Parameters<SessionKeeper['list']>[0]): Promise<readonly Session[]> {
    const current = hash(value);
    const now = this.#parts.runtime.now();
    return (await this.#all())
      .filter(({ session }) => !isOver(session, now) && (user === undefined || session.user === user))
      .sort((one, other) => other.session.createdAt - one.session.createdAt)
      .map(({ id, session: { stamp: _stamp, ...shown } }) => ({
        id,
        ...shown,
        isCurrent: id === current,
      }));
  }

  async endAll({ user, id: wanted }: Parameters<SessionKeeper['endAll']>[0]): Promise<number> {
    const now = this.#parts.runtime.now();
    const found = (await this.#all()).filter(
      ({ id, session }) =>
        !isOver(session, now) && (wanted ?? id) === id && (user === undefined || session.user === user),
    );
    if (found.length > 0) {
      await this.#apply(
        found.map(({ id }) => remove(id)),
        true,
      );
    }
    return found.length;
  }

  async #all(): Promise<readonly { readonly id: string; readonly session: StoredSession }[]> {
    const documents = await this.#parts.metadata.documents('session');
    return documents.map(({ id, value }) => ({ id, session: value as StoredSession }));
  }

  /** Returns the removal of sessions that are over, and of those that a login of the user leaves no room for. */
  async #surplus(user: string, now: number): Promise<readonly Change[]> {
    const all = await this.#all();
    const over = all.filter(({ session }) => isOver(session, now));
    const live = all
      .filter(({ session }) => !isOver(session, now))
      .sort((one, other) => other.session.createdAt - one.session.createdAt);
    const own = live.filter(({ session }) => session.user === user);
    const others = live.filter(({ session }) => session.user !== user);
    const kept = own.splice(0, maxSessionsPerUser - 1);
    return [...over, ...own, ...[...others, ...kept].slice(maxSessions - 1)].map(({ id }) => remove(id));
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
