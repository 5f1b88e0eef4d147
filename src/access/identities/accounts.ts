/**
 * Identity sources: accounts, htpasswd, OIDC, and password verification in a worker. Imported by access/ only.
 */
import type {
  Account,
  Accounts,
  AccountSettings,
  AccountToken,
  Identity,
  IdentitySource,
  TokenOwner,
} from '../../ports/access/access.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Documents } from '../../ports/metadata/documents.js';
import type { Change, MetadataWriter, Precondition } from '../../ports/metadata/metadata.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { Runtime } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import {
  holderIn,
  removeToken,
  tokenPrefix,
  TokenStore,
  type CreatedToken,
  type Holder,
  type StoredToken,
  type TokenSettings,
} from './account-tokens.js';
import { forgetLogin } from './last-logins.js';

/** An account as stored in the index. */
interface StoredAccount extends Account {
  /**
   * Identifies this account, not its name: a new account of the same name does not inherit the tokens of the old one.
   */
  readonly uid: string;
}

/** The maximum number of tokens of one user. */
const maxOwnTokens = 100;

/** The information about other sources that `StoredAccounts` needs. */
export interface OtherSources {
  /** Returns whether another source has a user of that name, whose permissions an account would get. */
  readonly isTaken?: (name: string) => boolean | Promise<boolean>;
  /** The users of the host application who have tokens, with the stamps of their records. */
  readonly hostUsers?: {
    find(name: string): Promise<string | undefined>;
    /** @throws RegistryError CONFLICT when a user of another source has the name. */
    enrol(user: Pick<TokenOwner, 'id' | 'groups'>, by: Actor): Promise<string>;
  };
  /** Returns the user of another source if the credential with this stamp is still valid. */
  readonly revive?: (source: string, id: string, stamp: string) => Promise<Identity | undefined>;
}

/** Stores accounts and their tokens in the index, and authenticates users by these tokens. */
export class StoredAccounts implements Accounts, IdentitySource {
  readonly kind = 'account';
  readonly #metadata: Documents & MetadataWriter;
  readonly #runtime: Runtime;
  readonly #others: OtherSources;
  readonly #tokens: TokenStore;

  constructor(metadata: Documents & MetadataWriter, runtime: Runtime, others: OtherSources = {}) {
    this.#metadata = metadata;
    this.#runtime = runtime;
    this.#others = others;
    this.#tokens = new TokenStore(metadata, runtime);
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
    const token = await this.#tokens.find(stamp);
    if (token?.account !== id) return undefined;
    const identity = await this.#identityOf(token);
    return typeof identity === 'string' ? undefined : identity;
  }

  /**
   * Returns the account of a token that came without a user name. Takes the same time for unknown and for revoked
   * tokens.
   */
  async identify(secret: string): Promise<Identity | LoginProblem> {
    const token = await this.#tokens.match(secret);
    return typeof token === 'string' ? token : this.#identityOf(token);
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
    const noPerson: Precondition = { type: 'document', kind: 'person', id: name, is: 'absent' };
    const isWritten = await this.#write(by, [putAccount(stored)], accountIs(name, 'absent'), noPerson);
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
    // A token that another process creates in the meantime remains, but is useless, because its account no longer
    // exists.
    const tokens = (await this.#tokens.all()).filter((token) => token.account === name);
    const account: Change = { type: 'document.delete', kind: 'account', id: name };
    const changes = [account, forgetLogin(name), ...tokens.map(removeToken)];
    return this.#write(by, changes, accountIs(name, 'present'));
  }

  /** Returns the tokens of an account in the order of their creation. */
  async tokens(account: string): Promise<readonly AccountToken[]> {
    const uid = (await this.#account(account))?.uid;
    return uid === undefined ? [] : this.#tokens.of(account, { accountUid: uid });
  }

  async createToken(account: string, settings: TokenSettings, by: Actor): Promise<CreatedToken> {
    const accountUid = (await this.#account(account))?.uid;
    const created = accountUid === undefined ? undefined : await this.#create(account, { accountUid }, settings, by);
    if (created !== undefined) return created;
    throw new RegistryError('CONFLICT', { message: `account "${account}" does not exist`, detail: { account } });
  }

  /** Returns `undefined` if the account does not exist. */
  #create(account: string, holder: Holder, settings: TokenSettings, by: Actor): Promise<CreatedToken | undefined> {
    const require = 'accountUid' in holder ? [accountIs(account, 'present')] : [];
    return this.#tokens.create(account, holder, settings, { by, require });
  }

  deleteToken(account: string, id: string, by: Actor): Promise<boolean> {
    return this.#tokens.delete(account, id, by);
  }

  async ownTokens(owner: TokenOwner): Promise<readonly AccountToken[]> {
    const known = await this.#known(owner);
    return known === undefined ? [] : this.#tokens.of(owner.id, await this.#ownHolder(known));
  }

  async createOwnToken(owner: TokenOwner, settings: TokenSettings, by: Actor): Promise<CreatedToken> {
    refuseLimited(owner);
    const holder = await this.#ownHolder((await this.#known(owner)) ?? (await this.#enrol(owner, by)));
    if ((await this.#tokens.of(owner.id, holder)).length >= maxOwnTokens) {
      const message = `you have ${maxOwnTokens} tokens already: revoke those that you do not use`;
      throw new RegistryError('CONFLICT', { message });
    }
    const expiresAt = Math.min(settings.expiresAt ?? Infinity, owner.expiresAt ?? Infinity);
    const limited = { ...settings, expiresAt: expiresAt === Infinity ? undefined : expiresAt };
    const created = await this.#create(owner.id, holder, limited, by);
    if (created !== undefined) return created;
    throw new RegistryError('CONFLICT', { message: 'the account was deleted in the meantime' });
  }

  async deleteOwnToken(owner: TokenOwner, id: string, by: Actor): Promise<boolean> {
    refuseLimited(owner);
    const isOwn = (await this.ownTokens(owner)).some((token) => token.id === id);
    return isOwn && this.deleteToken(owner.id, id, by);
  }

  /**
   * Returns the owner with the stamp of its record; `undefined` for a user of the host application without a record.
   */
  async #known(owner: TokenOwner): Promise<TokenOwner | undefined> {
    if (owner.source !== 'host') return owner;
    const stamp = await this.#others.hostUsers?.find(owner.id);
    return stamp === undefined ? undefined : { ...owner, stamp };
  }

  async #enrol(owner: TokenOwner, by: Actor): Promise<TokenOwner> {
    return { ...owner, stamp: await this.#others.hostUsers?.enrol(owner, by) };
  }

  /** @throws RegistryError UNSUPPORTED */
  async #ownHolder({ source, stamp, id }: TokenOwner): Promise<Holder> {
    if (source !== undefined && stamp !== undefined) {
      const isKept = source !== this.kind && (await this.#others.revive?.(source, id, stamp)) !== undefined;
      if (isKept) return { source, stamp };
      // The stamp of someone who logged in with a token is the id of the token.
      const token = await this.#tokens.find(stamp);
      if (token?.account === id) return holderIn(token);
    }
    const message = 'this login cannot have tokens: log in with a password, or with a token of an account';
    throw new RegistryError('UNSUPPORTED', { status: 400, message });
  }

  /** Counts the tokens that work, by `source` and the name of their owner. */
  async countTokens(): Promise<(source: string, name: string) => number> {
    const counts = new Map<string, number>();
    for (const token of await this.#tokens.all()) {
      if (typeof (await this.#identityOf(token)) === 'string') continue;
      const key = `${'accountUid' in token ? this.kind : token.source} ${token.account}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return (source, name) => counts.get(`${source} ${name}`) ?? 0;
  }

  /** Returns the changes that delete the tokens of a user of another source. */
  async removalOf(name: string, stamp: string): Promise<readonly Change[]> {
    const tokens = await this.#tokens.all();
    return tokens
      .filter((token) => token.account === name && 'stamp' in token && token.stamp === stamp)
      .map(removeToken);
  }

  // -------------------------------------------------------------------------------------------- the index

  // Only this class writes documents of this kind, so their type is known.
  async #account(name: string): Promise<StoredAccount | undefined> {
    return (await this.#metadata.document('account', name)) as StoredAccount | undefined;
  }

  /** Writes durably. Returns false when a precondition does not hold. */
  #write(actor: Actor, changes: readonly Change[], ...require: readonly Precondition[]): Promise<boolean> {
    return this.#metadata.tryApply(changes, { durable: true, require, by: { actor, at: this.#runtime.now() } });
  }
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

/** A token with limits could otherwise create one without, or revoke those of others. @throws RegistryError DENIED */
function refuseLimited({ limits }: TokenOwner): void {
  if (limits === undefined) return;
  throw new RegistryError('DENIED', { message: 'a token with limits cannot create or revoke tokens' });
}

/** Creates the error for a name that someone has already. */
export function nameTaken(name: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `the name "${name}" is taken`, detail: { name } });
}
