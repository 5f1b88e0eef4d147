import type { IdentitySource } from '../ports/access/access.js';
import type { Documents } from '../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import type { AccessSettings } from '../protocol/settings/access-settings.js';
import type { Closers } from '../util/closers.js';
import { StoredAccounts, type OtherSources } from './identities/accounts.js';
import { HtpasswdSource } from './identities/htpasswd.js';
import { LoginThrottle } from './identities/login-throttle.js';
import { OidcSource } from './identities/oidc.js';
import { PasswordClient } from './identities/password-client.js';
import { StoredProviderLogins } from './identities/provider-logins.js';
import { StoredPeople } from './identities/stored-people.js';
import type { SessionParts } from './sessions.js';

/** The dependencies of `openIdentities`. */
export interface IdentityParts {
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
  /** Returns the groups that the options give a user. */
  readonly groupsOf: (id: string) => readonly string[];
}

/** Everyone who can log in, by source. */
export interface Identities {
  readonly accounts: StoredAccounts;
  readonly oidc: OidcSource;
  readonly htpasswd: HtpasswdSource | undefined;
  readonly people: StoredPeople;
  readonly logins: StoredProviderLogins;
  /** The sources that verify passwords. */
  readonly sources: readonly IdentitySource[];
  /** Returns the user of a source if the credential with this stamp is still valid. */
  readonly revive: (source: string, id: string, stamp: string) => ReturnType<SessionParts['revive']>;
}

/** Opens the sources of users, none of which accepts a name that another one has. @throws HtpasswdError */
export async function openIdentities(
  settings: AccessSettings,
  { metadata, runtime, groupsOf }: IdentityParts,
  closers: Closers,
): Promise<Identities> {
  const throttle = new LoginThrottle({ now: () => runtime.now(), shared: metadata.shared?.loginFailures });
  const htpasswd = await openHtpasswd(settings, throttle, runtime);
  if (htpasswd !== undefined) closers.add('htpasswd', () => htpasswd.close());
  // A user with the name of a CI system or of another user would get their permissions.
  const machines = new Set(settings.oidc.flatMap(({ identities }) => identities.map(({ user }) => user)));
  const isForeign = async (name: string): Promise<boolean> =>
    machines.has(name) || (await htpasswd?.has(name)) === true;
  const revive: Identities['revive'] = async (kind, id, stamp) =>
    kind === 'oidc' || kind === 'host'
      ? people.revive(kind, id, stamp)
      : sources.find((one) => one.kind === kind)?.revive(id, stamp);
  const hostUsers = hostUsersOf(() => people, groupsOf);
  const accounts = new StoredAccounts(metadata, runtime, { isTaken: isForeign, revive, hostUsers });
  const isTaken = async (name: string): Promise<boolean> =>
    (await isForeign(name)) || (await accounts.get(name)) !== undefined;
  const people: StoredPeople = new StoredPeople({
    metadata,
    runtime,
    isTaken,
    isTrusted: (source, provider) =>
      source === 'host' ? settings.authenticate !== undefined : logins.isConfigured(provider ?? ''),
  });
  const signIn: StoredPeople['signIn'] = (user) => people.signIn(user);
  const logins = new StoredProviderLogins(settings.login, { runtime, throttle, isTaken, signIn });
  const oidc = new OidcSource(settings.oidc, runtime);
  // The htpasswd file comes last, because it claims every password.
  const sources: readonly IdentitySource[] = [accounts, oidc, ...(htpasswd === undefined ? [] : [htpasswd])];
  return { accounts, oidc, htpasswd, people, logins, sources, revive };
}

async function openHtpasswd(
  { htpasswd: path }: AccessSettings,
  throttle: LoginThrottle,
  runtime: Runtime,
): Promise<HtpasswdSource | undefined> {
  if (path === undefined) return undefined;
  return HtpasswdSource.open({ path, verifier: new PasswordClient(), throttle, runtime });
}

function hostUsersOf(
  people: () => StoredPeople,
  groupsOf: IdentityParts['groupsOf'],
): NonNullable<OtherSources['hostUsers']> {
  return {
    find: async (name) => {
      const person = await people().find(name);
      return person?.source === 'host' ? person.uid : undefined;
    },
    enrol: ({ id, groups = [] }, by) => {
      // The options keep deciding about the groups that they give.
      const given = new Set(groupsOf(id));
      const reported = groups.filter((group) => !given.has(group));
      return people().enrol(id, reported, by);
    },
  };
}
