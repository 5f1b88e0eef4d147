import { isDeepStrictEqual } from 'node:util';
import type { Identity, PersonSource } from '../../ports/access/access.js';
import type { Documents } from '../../ports/metadata/documents.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Change, MetadataWriter, Precondition } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { SignedIn } from '../../ports/access/sessions.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import { RegistryError } from '../../protocol/errors.js';
import { isPersonName } from '../../protocol/settings/access-names.js';
import { nameTaken } from './accounts.js';
import { forgetLogin, loginPrecisionMs } from './last-logins.js';

/**
 * Tokens stop working when their owner has not logged in for this long, because nothing else shows whether the source
 * still knows the user.
 */
const maxAbsenceMs = 30 * 86_400_000;

/** A user whom the registry knows only from a login. */
export type PersonKind = Extract<PersonSource, 'oidc' | 'host'>;

/** A user of an OIDC provider or of the host application, as stored in the index. Administrators change it. */
export interface StoredPerson {
  /** Identifies this record, not its name: a new record of the same name does not inherit the tokens of the old one. */
  readonly uid: string;
  readonly name: string;
  readonly source: PersonKind;
  readonly disabled: boolean;
  readonly createdAt: number;
}

/** The data of the last login. Stored separately, so that a login cannot undo a concurrent change by an administrator. */
export interface StoredVisit {
  readonly uid: string;
  readonly groups: readonly string[];
  /** The configuration of the OIDC provider. */
  readonly provider?: string | undefined;
  readonly at: number;
}

type Reported = Pick<StoredVisit, 'groups' | 'provider'>;

/** The dependencies of `StoredPeople`. */
export interface StoredPeopleParts {
  readonly metadata: Documents & MetadataWriter;
  readonly runtime: Pick<Runtime, 'now' | 'newId' | 'log'>;
  /** Returns whether an account, a password or a CI system has the name. */
  readonly isTaken: (name: string) => Promise<boolean>;
  /** Returns whether the provider is still configured as it was, or the host application still authenticates. */
  readonly isTrusted: (source: PersonKind, provider: string | undefined) => boolean;
}

/** Remembers those whom an OIDC provider or the host application vouched for, because neither can be asked again. */
export class StoredPeople {
  readonly #parts: StoredPeopleParts;

  constructor(parts: StoredPeopleParts) {
    this.#parts = parts;
  }

  /**
   * Notes a login with an OIDC provider. Returns the user with the stamp of the record, or why the login is refused.
   */
  async signIn({ id, groups, stamp: provider }: SignedIn): Promise<SignedIn | LoginProblem> {
    const by: Actor = { principal: id, via: 'session' };
    const person = (await this.find(id)) ?? (await this.#create(id, 'oidc', { groups, provider }, by));
    if (person?.source !== 'oidc') return 'name taken';
    if (person.disabled) return 'disabled';
    const before = (await this.visitOf(person))?.provider;
    // Otherwise one provider could give its users the tokens and the groups of another one's.
    if (before !== provider && before !== undefined && this.#parts.isTrusted('oidc', before)) return 'name taken';
    await this.#visit(person, { groups, provider });
    return { id, groups, stamp: person.uid };
  }

  /**
   * Notes that the host application knows a user, if the user has a record.
   * @throws RegistryError DENIED for a disabled one.
   */
  async meet({ id, groups }: Pick<Identity, 'id' | 'groups'>): Promise<void> {
    const person = await this.find(id);
    if (person?.source !== 'host') return;
    if (person.disabled) throw new RegistryError('DENIED', { message: 'an administrator has disabled this user' });
    await this.#visit(person, { groups });
  }

  /** Returns whether an administrator disabled a user of the host application. */
  async isHostUserDisabled(name: string): Promise<boolean> {
    const person = await this.find(name);
    return person?.source === 'host' && person.disabled;
  }

  /**
   * Creates the record of a user of the host application. Returns its stamp.
   * @throws RegistryError CONFLICT, UNSUPPORTED
   */
  async enrol(id: string, groups: readonly string[], by: Actor): Promise<string> {
    if (!isPersonName(id)) {
      const message = 'this login cannot have tokens: its name has spaces or colons, or is too long';
      throw new RegistryError('UNSUPPORTED', { status: 400, message });
    }
    if (await this.#parts.isTaken(id)) throw nameTaken(id);
    const person = (await this.find(id)) ?? (await this.#create(id, 'host', { groups }, by));
    if (person?.source !== 'host') throw nameTaken(id);
    await this.#visit(person, { groups });
    return person.uid;
  }

  /** Returns the user if the record with this stamp still holds. */
  async revive(source: PersonKind, id: string, stamp: string): Promise<Identity | undefined> {
    const person = await this.find(id);
    if (person?.source !== source || person.uid !== stamp || person.disabled) return undefined;
    const visit = await this.visitOf(person);
    if (visit === undefined || this.#parts.runtime.now() - visit.at >= maxAbsenceMs) return undefined;
    if (!this.#parts.isTrusted(source, visit.provider) || (await this.#parts.isTaken(id))) return undefined;
    return { id, groups: visit.groups, stamp };
  }

  // Only this class writes documents of the kind `person`, so their type is known.
  async find(name: string): Promise<StoredPerson | undefined> {
    return (await this.#parts.metadata.document('person', name)) as StoredPerson | undefined;
  }

  async all(): Promise<readonly StoredPerson[]> {
    return (await this.#parts.metadata.documents('person')).map(({ value }) => value as StoredPerson);
  }

  /** Returns what the last login reported; `undefined` if that login was of an older record. */
  async visitOf({ name, uid }: StoredPerson): Promise<StoredVisit | undefined> {
    const visit = (await this.#parts.metadata.document('last-login', visitId(name))) as StoredVisit | undefined;
    return visit?.uid === uid ? visit : undefined;
  }

  /** Returns the groups of the last login, and whether an administrator disabled the user. */
  async describe(name: string): Promise<(Pick<StoredPerson, 'disabled'> & Pick<StoredVisit, 'groups'>) | undefined> {
    const person = await this.find(name);
    return person && { disabled: person.disabled, groups: (await this.visitOf(person))?.groups ?? [] };
  }

  async setDisabled(person: StoredPerson, disabled: boolean, by: Actor): Promise<boolean> {
    return this.#write(by, [put({ ...person, disabled })], personIs(person.name, 'present'));
  }

  /** @param more further changes of the same write. */
  async delete({ name }: StoredPerson, more: readonly Change[], by: Actor): Promise<boolean> {
    const changes: Change[] = [
      { type: 'document.delete', kind: 'person', id: name },
      { type: 'document.delete', kind: 'last-login', id: visitId(name) },
      forgetLogin(name),
      ...more,
    ];
    return this.#write(by, changes, personIs(name, 'present'));
  }

  /**
   * Writes the record together with its first login, so that no record is ever without its provider. Returns the record
   * that another request has created in the meantime, or `undefined` if an account got the name.
   */
  async #create(name: string, source: PersonKind, reported: Reported, by: Actor): Promise<StoredPerson | undefined> {
    const { runtime } = this.#parts;
    const person = { uid: runtime.newId(), name, source, disabled: false, createdAt: runtime.now() };
    const noAccount: Precondition = { type: 'document', kind: 'account', id: name, is: 'absent' };
    const changes = [put(person), putVisit(person, reported, person.createdAt)];
    const isWritten = await this.#write(by, changes, personIs(name, 'absent'), noAccount);
    return isWritten ? person : this.find(name);
  }

  /** Writes at most once an hour, unless the source reports something else. */
  async #visit(person: StoredPerson, reported: Reported): Promise<void> {
    const { metadata, runtime } = this.#parts;
    const at = runtime.now();
    const before = await this.visitOf(person);
    const known = [before?.groups, before?.provider];
    const isKnown = isDeepStrictEqual(known, [sorted(reported.groups), reported.provider]);
    if (isKnown && before !== undefined && at - before.at < loginPrecisionMs) return;
    try {
      // Groups that the source took away must stay away after a crash.
      await metadata.tryApply([putVisit(person, reported, at)], {
        durable: !isKnown,
        require: [personIs(person.name, 'present')],
      });
    } catch (error) {
      // A time that is not stored, perhaps because the disk is full, must not keep anyone out.
      if (!isKnown) throw error;
      runtime.log.warn({ err: error }, 'failed to store the time of a login');
    }
  }

  #write(actor: Actor, changes: readonly Change[], ...require: readonly Precondition[]): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    return metadata.tryApply(changes, { durable: true, require, by: { actor, at: runtime.now() } });
  }
}

/** No name contains a colon, so that logins with passwords and tokens have other ids. */
function visitId(name: string): string {
  return `person:${name}`;
}

function put(person: StoredPerson): Change {
  return { type: 'document.put', kind: 'person', id: person.name, value: person };
}

function putVisit({ name, uid }: StoredPerson, { groups, provider }: Reported, at: number): Change {
  const value: StoredVisit = { uid, groups: sorted(groups), provider, at };
  return { type: 'document.put', kind: 'last-login', id: visitId(name), value };
}

function sorted(groups: readonly string[]): readonly string[] {
  return [...groups].sort();
}

function personIs(name: string, is: 'present' | 'absent'): Precondition {
  return { type: 'document', kind: 'person', id: name, is };
}
