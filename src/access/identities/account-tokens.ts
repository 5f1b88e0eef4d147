import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Accounts, AccountToken } from '../../ports/access/access.js';
import type { Documents } from '../../ports/metadata/documents.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Change, MetadataWriter, Precondition } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';

/** The prefix of every token, by which people and secret scanners recognize it. */
export const tokenPrefix = 'aat_';
/** `aat_<id>_<secret>`: base64url may contain `_` but the hexadecimal id cannot, so the first `_` ends the id. */
const tokenPattern = /^aat_([a-f0-9]{16})_[A-Za-z0-9_-]{43}$/;
/** 16 characters. The id is public; a precondition of the write keeps it unique. */
const idBytes = 8;
/** 43 characters: too many to guess, so a fast hash is enough. Slow hashes protect passwords that people choose. */
const secretBytes = 32;
/** A hash that no token has. Unknown tokens are compared with it, so that they take as long as known ones. */
const dummySha256 = '0'.repeat(64);

/** The holder of a token: an account, or a user of another source as long as the credential stays the same. */
export type Holder = { readonly accountUid: string } | { readonly source: string; readonly stamp: string };

/** A token as stored in the index. */
export type StoredToken = AccountToken & { readonly sha256: string } & Holder;

/** The settings of a new token. */
export type TokenSettings = Pick<AccountToken, 'description' | 'limits' | 'expiresAt'>;
/** A token with its secret. */
export type CreatedToken = Awaited<ReturnType<Accounts['createToken']>>;

/** Stores tokens in the index, without asking whether their holders exist. */
export class TokenStore {
  readonly #metadata: Documents & MetadataWriter;
  readonly #runtime: Runtime;

  constructor(metadata: Documents & MetadataWriter, runtime: Runtime) {
    this.#metadata = metadata;
    this.#runtime = runtime;
  }

  /** Returns the token with a secret. Takes the same time for unknown and for revoked tokens. */
  async match(secret: string): Promise<StoredToken | LoginProblem> {
    const id = tokenPattern.exec(secret)?.[1];
    if (id === undefined) return 'malformed';
    const token = await this.find(id);
    const expected = Buffer.from(token?.sha256 ?? dummySha256, 'hex');
    const isRight = timingSafeEqual(Buffer.from(hash(secret), 'hex'), expected);
    if (token === undefined) return 'revoked';
    return isRight ? token : 'wrong password';
  }

  // Only this class writes documents of this kind, so their type is known.
  async find(id: string): Promise<StoredToken | undefined> {
    return (await this.#metadata.document('account-token', id)) as StoredToken | undefined;
  }

  async all(): Promise<readonly StoredToken[]> {
    return (await this.#metadata.documents('account-token')).map(({ value }) => value as StoredToken);
  }

  /** Returns the tokens of a holder in the order of their creation. */
  async of(account: string, holder: Holder): Promise<readonly AccountToken[]> {
    const own = (await this.all()).filter(
      (token) => token.account === account && isDeepStrictEqual(holderIn(token), holder),
    );
    return own.map(toToken).sort((a, b) => a.createdAt - b.createdAt);
  }

  /** Returns `undefined` if the requirement does not hold. */
  async create(
    account: string,
    holder: Holder,
    { description, limits, expiresAt }: TokenSettings,
    { by, require }: { readonly by: Actor; readonly require: readonly Precondition[] },
  ): Promise<CreatedToken | undefined> {
    const id = randomBytes(idBytes).toString('hex');
    const secret = `${tokenPrefix}${id}_${randomBytes(secretBytes).toString('base64url')}`;
    const token = { id, account, description, limits, createdAt: this.#runtime.now(), expiresAt };
    const value = { ...token, ...holder, sha256: hash(secret) };
    const put: Change = { type: 'document.put', kind: 'account-token', id, value };
    const isNew: Precondition = { type: 'document', kind: 'account-token', id, is: 'absent' };
    const isWritten = await this.#metadata.tryApply([put], {
      durable: true,
      require: [...require, isNew],
      by: { actor: by, at: this.#runtime.now() },
    });
    return isWritten ? { token, secret } : undefined;
  }

  async delete(account: string, id: string, by: Actor): Promise<boolean> {
    if ((await this.find(id))?.account !== account) return false;
    const isThere: Precondition = { type: 'document', kind: 'account-token', id, is: 'present' };
    const attribution = { actor: by, at: this.#runtime.now() };
    return this.#metadata.tryApply([removeToken({ id })], { durable: true, require: [isThere], by: attribution });
  }
}

/** Returns the change that deletes a token. */
export function removeToken({ id }: Pick<AccountToken, 'id'>): Change {
  return { type: 'document.delete', kind: 'account-token', id };
}

/** Returns the holder of a token. */
export function holderIn(token: StoredToken): Holder {
  return 'accountUid' in token ? { accountUid: token.accountUid } : { source: token.source, stamp: token.stamp };
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function toToken({ id, account, description, limits, createdAt, expiresAt }: StoredToken): AccountToken {
  return { id, account, description, limits, createdAt, expiresAt };
}
