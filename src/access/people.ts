import type { Account, People, Person } from '../ports/access/access.js';
import { RegistryError } from '../protocol/errors.js';
import type { StoredAccounts } from './identities/accounts.js';
import type { HtpasswdSource } from './identities/htpasswd.js';
import type { LastLogins } from './identities/last-logins.js';
import type { StoredPeople, StoredPerson } from './identities/stored-people.js';
import type { Sessions } from './sessions.js';

/** The sources of `createPeople`. */
export interface PeopleParts {
  readonly accounts: StoredAccounts;
  readonly htpasswd: HtpasswdSource | undefined;
  readonly people: StoredPeople;
  readonly sessions: Sessions;
  readonly lastLogins: LastLogins;
  readonly groupsOf: (id: string) => readonly string[];
}

type Known = Pick<Person, 'name' | 'source' | 'disabled' | 'groups'> & { readonly seenAt?: number | undefined };

/** Creates the list of everyone who can log in, from all sources that have one. */
export function createPeople(parts: PeopleParts): People {
  const { accounts, htpasswd, people, sessions } = parts;
  /** @throws RegistryError CONFLICT for a user who is not a record of `StoredPeople`. */
  const findPerson = async (name: string): Promise<StoredPerson | undefined> => {
    const person = await people.find(name);
    if (person !== undefined) return person;
    if ((await accounts.get(name)) !== undefined) throw elsewhere(name, 'is an account: change the account');
    if ((await htpasswd?.has(name)) === true) throw elsewhere(name, 'is in the htpasswd file: change the file');
    return undefined;
  };
  return {
    list: async () => {
      const names = (await htpasswd?.names()) ?? [];
      const known: Known[] = [
        ...(await accounts.list()).map(fromAccount),
        ...names.map((name): Known => ({ name, source: 'htpasswd', disabled: false, groups: [] })),
        ...(await Promise.all((await people.all()).map((person) => fromPerson(people, person)))),
      ];
      return describe(parts, known);
    },
    setDisabled: async (name, disabled, by) => {
      const person = await findPerson(name);
      if (person === undefined || !(await people.setDisabled(person, disabled, by))) return undefined;
      if (disabled) await sessions.endAll({ user: name });
      return (await describe(parts, [await fromPerson(people, { ...person, disabled })]))[0];
    },
    delete: async (name, by) => {
      const person = await findPerson(name);
      if (person === undefined) return false;
      const isDeleted = await people.delete(person, await accounts.removalOf(name, person.uid), by);
      await sessions.endAll({ user: name });
      return isDeleted;
    },
  };
}

async function describe(
  { accounts, lastLogins, groupsOf }: PeopleParts,
  known: readonly Known[],
): Promise<readonly Person[]> {
  const countOf = await accounts.countTokens();
  const described = known.map(async ({ seenAt, ...person }): Promise<Person> => {
    const times = [seenAt, await lastLogins.at(person.name)].filter((time) => time !== undefined);
    return {
      ...person,
      groups: [...new Set([...person.groups, ...groupsOf(person.name)])].sort(),
      tokens: countOf(person.source, person.name),
      lastLoginAt: times.length === 0 ? undefined : Math.max(...times),
    };
  });
  return (await Promise.all(described)).sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

function fromAccount({ name, disabled, groups }: Account): Known {
  return { name, source: 'account', disabled, groups };
}

async function fromPerson(people: StoredPeople, person: StoredPerson): Promise<Known> {
  const { name, source, disabled } = person;
  const visit = await people.visitOf(person);
  return { name, source, disabled, groups: visit?.groups ?? [], seenAt: visit?.at };
}

function elsewhere(name: string, message: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `"${name}" ${message}`, detail: { name } });
}
