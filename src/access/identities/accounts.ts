/**
 * Identity sources: accounts, htpasswd, OIDC, and password verification in a worker. Imported by access/ only.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type {
  Account,
  Accounts,
  AccountSettings,
  AccountToken,
  Identity,
  IdentitySource,
  TokenOwner,
} from '../../ports/access.js';
import type { Actor } from '../../ports/journal.js';
import type { Documents } from '../../ports/documents.js';
import type { Change, MetadataWriter, Precondition } from '../../ports/metadata.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';

/** The prefix of every token, by which people and secret scanners recognize it. */
const tokenPrefix = 'aat_';
/** `aat_<id>_<secret>`: base64url may contain `_` but the hexadecimal id cannot, so the first `_` ends the id. */
const tokenPattern = /^aat_([a-f0-9]{16})_[A-Za-z0-9_-]{43}$/;
/** 16 characters. The id is public; a precondition of the write keeps it unique. */
const idBytes = 8;
/** 43 characters: too many to guess, so a fast hash is enough. Slow hashes protect passwords that people choose. */
const secretBytes = 32;
/** Matches no token. Unknown tokens are compared with it, so that they take as long as known ones. */
const dummySha256 = '0'.repeat(64);

/** An account as stored in the index. */
interface StoredAccount extends Account {
  /** Identifies this account, not its name: a new account of the same name does not inherit the tokens of the old one. */
  readonly uid: string;
}

/** Who has a token: an account, or a user of another source as long as the credential stays the same. */
type Holder = { readonly accountUid: string } | { readonly source: string; readonly stamp: string };

type StoredToken = AccountToken & { readonly sha256: string } & Holder;

/** Further tokens of one user are refused. */
const maxOwnTokens = 100;

/** What `StoredAccounts` needs to know of the other sources. */
export interface OtherSources {
  /** Returns whether another source has a user of that name, whose permissions an account would get. */
  readonly isTaken?: (name: string) => boolean | Promise<boolean>;
  /** Returns the user of another source if the credential with this stamp is still valid. */
  readonly revive?: (source: string, id: string, stamp: string) => Promise<Identity | undefined>;
}

type TokenSettings = Pick<AccountToken, 'description' | 'limits' | 'expiresAt'>;
type CreatedToken = Awaited<ReturnType<Accounts['createToken']>>;

/** Stores accounts and their tokens in the index, and authenticates users by these tokens. */
export class StoredAccounts implements Accounts, IdentitySource {
  readonly kind = 'account';
  readonly #metadata: Documents & MetadataWriter;
  readonly #runtime: Runtime;
  readonly #others: OtherSources;

  constructor(metadata: Documents & MetadataWriter, runtime: Runtime, others: OtherSources = {}) {
    this.#metadata = metadata;
    this.#runtime = runtime;
    this.#others = others;
  }

  // -------------------------------------------------------------------------------------------- logins

  claims(_username: string, password: string): boolean {
    return password.startsWith(tokenPrefix);
  }

  async login(username: string, password: string): Promise<Identity | LoginProblem> {
    const identity = await this.identify(password);
    return typeof identity === 'object' && identity.id !== username ? 'wrong name' : identity;
  }

  async revive(id: string, stamp: string): Promise<Identity | undefined> {
    const token = await this.#token(stamp);
    if (token?.account !== id) return undefined;
    const identity = await this.#identityOf(token);
    return typeof identity === 'string' ? undefined : identity;
  }

  /** Returns the account of a token that came without a user name. Takes the same time for unknown and for revoked tokens. */
  async identify(secret: string): Promise<Identity | LoginProblem> {
    const id = tokenPattern.exec(secret)?.[1];
    if (id === undefined) return 'malformed';
    const token = await this.#token(id);
    const expected = Buffer.from(token?.sha256 ?? dummySha256, 'hex');
    const isRight = timingSafeEqual(Buffer.from(hash(secret), 'hex'), expected);
    if (token === undefined) return 'revoked';
    return isRight ? this.#identityOf(token) : 'wrong password';
  }

  async #identityOf(token: StoredToken): Promise<Identity | LoginProblem> {
    const { id, account: name, limits, expiresAt } = token;
    const holder = await this.#holderOf(token);
    if (typeof holder === 'string') return holder;
    if (expiresAt !== undefined && expiresAt <= this.#runtime.now()) return 'expired';
    return { id: name, groups: holder.groups, stamp: id, limits, expiresAt };
  }

  async #holderOf(token: StoredToken): Promise<{ readonly groups: readonly string[] } | LoginProblem> {
    if (!('accountUid' in token)) {
      return (await this.#others.revive?.(token.source, token.account, token.stamp)) ?? 'revoked';
    }
    const account = await this.#account(token.account);
    if (account === undefined || account.uid !== token.accountUid) return 'revoked';
    return account.disabled ? 'disabled' : account;
  }

  // -------------------------------------------------------------------------------------------- accounts

  async list(): Promise<readonly Account[]> {
    const records = await this.#metadata.documents('account');
    return records.map(({ value }) => toAccount(value as StoredAccount));
  }

  async get(name: string): Promise<Account | undefined> {
    const stored = await this.#account(name);
    return stored && toAccount(stored);
  }

  async create(settings: AccountSettings, by: Actor): Promise<Account> {
    const { name } = settings;
    // Rules for anonymous users would apply to it.
    if (name === 'anonymous' || (await this.#others.isTaken?.(name)) === true) throw nameTaken(name);
    const now = this.#runtime.now();
    const stored = { ...pickSettings(settings), createdAt: now, updatedAt: now, uid: this.#runtime.newId() };
    const isWritten = await this.#write(by, [putAccount(stored)], accountIs(name, 'absent'));
    if (!isWritten) throw nameTaken(name);
    return toAccount(stored);
  }

  async replace(settings: AccountSettings, by: Actor): Promise<Account | undefined> {
    const before = await this.#account(settings.name);
    if (before === undefined) return undefined;
    const { createdAt, uid } = before;
    const stored = { ...pickSettings(settings), createdAt, updatedAt: this.#runtime.now(), uid };
    const isWritten = await this.#write(by, [putAccount(stored)], accountIs(settings.name, 'present'));
    return isWritten ? toAccount(stored) : undefined;
  }

  async delete(name: string, by: Actor): Promise<boolean> {
    // A token that another process creates meanwhile remains, but is useless: its account no longer exists.
    const tokens = (await this.#tokens()).filter((token) => token.account === name);
    const changes: Change[] = [
      { type: 'document.delete', kind: 'account', id: name },
      ...tokens.map(({ id }): Change => ({ type: 'document.delete', kind: 'account-token', id })),
    ];
    return this.#write(by, changes, accountIs(name, 'present'));
  }

  /** Returns the tokens of an account in the order of their creation. */
  async tokens(account: string): Promise<readonly AccountToken[]> {
    const uid = (await this.#account(account))?.uid;
    return uid === undefined ? [] : this.#tokensOf(account, { accountUid: uid });
  }

  async createToken(account: string, settings: TokenSettings, by: Actor): Promise<CreatedToken> {
    const accountUid = (await this.#account(account))?.uid;
    const created = accountUid === undefined ? undefined : await this.#create(account, { accountUid }, settings, by);
    if (created !== undefined) return created;
    throw new RegistryError('CONFLICT', { message: `account "${account}" does not exist`, detail: { account } });
  }

  /** Returns `undefined` if the account does not exist. */
  async #create(
    account: string,
    holder: Holder,
    { description, limits, expiresAt }: TokenSettings,
    by: Actor,
  ): Promise<CreatedToken | undefined> {
    const id = randomBytes(idBytes).toString('hex');
    const secret = `${tokenPrefix}${id}_${randomBytes(secretBytes).toString('base64url')}`;
    const token = { id, account, description, limits, createdAt: this.#runtime.now(), expiresAt };
    const value = { ...token, ...holder, sha256: hash(secret) };
    const put: Change = { type: 'document.put', kind: 'account-token', id, value };
    const isNew: Precondition = { type: 'document', kind: 'account-token', id, is: 'absent' };
    const isAllowed = 'accountUid' in holder ? [accountIs(account, 'present')] : [];
    return (await this.#write(by, [put], ...isAllowed, isNew)) ? { token, secret } : undefined;
  }

  async deleteToken(account: string, id: string, by: Actor): Promise<boolean> {
    if ((await this.#token(id))?.account !== account) return false;
    const isThere: Precondition = { type: 'document', kind: 'account-token', id, is: 'present' };
    return this.#write(by, [{ type: 'document.delete', kind: 'account-token', id }], isThere);
  }

  async ownTokens(owner: TokenOwner): Promise<readonly AccountToken[]> {
    return this.#tokensOf(owner.id, await this.#ownHolder(owner));
  }

  async createOwnToken(owner: TokenOwner, settings: TokenSettings, by: Actor): Promise<CreatedToken> {
    refuseLimited(owner);
    const holder = await this.#ownHolder(owner);
    if ((await this.#tokensOf(owner.id, holder)).length >= maxOwnTokens) {
      const message = `you have ${maxOwnTokens} tokens already: revoke those that you do not use`;
      throw new RegistryError('CONFLICT', { message });
    }
    const expiresAt = Math.min(settings.expiresAt ?? Infinity, owner.expiresAt ?? Infinity);
    const limited = { ...settings, expiresAt: expiresAt === Infinity ? undefined : expiresAt };
    const created = await this.#create(owner.id, holder, limited, by);
    if (created !== undefined) return created;
    throw new RegistryError('CONFLICT', { message: 'the account was deleted meanwhile' });
  }

  async deleteOwnToken(owner: TokenOwner, id: string, by: Actor): Promise<boolean> {
    refuseLimited(owner);
    const isOwn = (await this.ownTokens(owner)).some((token) => token.id === id);
    return isOwn && this.deleteToken(owner.id, id, by);
  }

  /** @throws RegistryError UNSUPPORTED */
  async #ownHolder({ source, stamp, id }: TokenOwner): Promise<Holder> {
    if (source !== undefined && stamp !== undefined) {
      const isKept = source !== this.kind && (await this.#others.revive?.(source, id, stamp)) !== undefined;
      if (isKept) return { source, stamp };
      // The stamp of someone who logged in with a token is the id of the token.
      const token = await this.#token(stamp);
      if (token?.account === id) return holderIn(token);
    }
    const message = 'this login cannot have tokens: log in with a password, or with a token of an account';
    throw new RegistryError('UNSUPPORTED', { status: 400, message });
  }

  async #tokensOf(account: string, holder: Holder): Promise<readonly AccountToken[]> {
    const tokens = (await this.#tokens()).filter(
      (token) => token.account === account && isDeepStrictEqual(holderIn(token), holder),
    );
    return tokens.map(toToken).sort((a, b) => a.createdAt - b.createdAt);
  }

  // -------------------------------------------------------------------------------------------- the index

  // Only this class writes documents of these two kinds, so their types are known.
  async #account(name: string): Promise<StoredAccount | undefined> {
    return (await this.#metadata.document('account', name)) as StoredAccount | undefined;
  }

  async #token(id: string): Promise<StoredToken | undefined> {
    return (await this.#metadata.document('account-token', id)) as StoredToken | undefined;
  }

  async #tokens(): Promise<StoredToken[]> {
    return (await this.#metadata.documents('account-token')).map(({ value }) => value as StoredToken);
  }

  /** Writes durably. Returns false when a precondition does not hold. */
  #write(actor: Actor, changes: readonly Change[], ...require: readonly Precondition[]): Promise<boolean> {
    return this.#metadata.tryApply(changes, { durable: true, require, by: { actor, at: this.#runtime.now() } });
  }
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function putAccount(value: StoredAccount): Change {
  return { type: 'document.put', kind: 'account', id: value.name, value };
}

function accountIs(name: string, is: 'present' | 'absent'): Precondition {
  return { type: 'document', kind: 'account', id: name, is };
}

/** Drops other properties of the object, which must not get into the index. */
function pickSettings({ name, description, groups, disabled }: AccountSettings): AccountSettings {
  return { name, description, groups, disabled };
}

function toAccount({ uid: _uid, ...account }: StoredAccount): Account {
  return account;
}

function toToken({ id, account, description, limits, createdAt, expiresAt }: StoredToken): AccountToken {
  return { id, account, description, limits, createdAt, expiresAt };
}

function holderIn(token: StoredToken): Holder {
  return 'accountUid' in token ? { accountUid: token.accountUid } : { source: token.source, stamp: token.stamp };
}

/** A token with limits could otherwise create one without, or revoke those of others. @throws RegistryError DENIED */
function refuseLimited({ limits }: TokenOwner): void {
  if (limits === undefined) return;
  throw new RegistryError('DENIED', { message: 'a token with limits cannot create or revoke tokens' });
}

function nameTaken(name: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `the name "${name}" is taken`, detail: { name } });
}
