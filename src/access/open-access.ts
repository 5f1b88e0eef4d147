import type { AccessControl, SigningKeyInfo } from '../ports/access/access.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { Documents } from '../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import type { AccessRule } from '../protocol/settings/access-config.js';
import type { AccessSettings } from '../protocol/settings/access-settings.js';
import { RegistryError } from '../protocol/errors.js';
import { Closers } from '../util/closers.js';
import { createAccessReport } from './rules/access-report.js';
import { BearerTokens } from './tokens/bearer-token.js';
import type { ChallengeOptions } from './authentication/challenge.js';
import { ExternalTokens } from './tokens/external-tokens.js';
import { LastLogins } from './identities/last-logins.js';
import type { StoredAccounts } from './identities/accounts.js';
import { openIdentities, type Identities } from './open-identities.js';
import { createPeople } from './people.js';
import { StoredRuleBook } from './rules/rule-book.js';
import type { IdentifyToken } from './authentication/authentication.js';
import { RuledAccess } from './ruled-access.js';
import { Sessions } from './sessions.js';
import { openSigningKeys } from './tokens/open-signing-keys.js';
import type { SigningKeys } from './tokens/signing-keys.js';

/** The dependencies of access control. */
export interface AccessParts {
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
  /** The path in front of `/v2`. */
  readonly prefix: string;
}

/** Without rules, the token server alone decides: its tokens allow exactly what they grant. */
const rulesOfTokenServer: readonly AccessRule[] = [{ anonymous: true, allow: ['pull', 'push', 'delete'] }];

/**
 * Creates access control by rules, with every identity source that the settings name.
 * @throws HtpasswdError when the htpasswd file cannot be used.
 */
export async function openAccess(settings: AccessSettings, parts: AccessParts): Promise<AccessControl> {
  const closers = new Closers();
  try {
    return await openSources(settings, parts, closers);
  } catch (error) {
    return closers.undo(error);
  }
}

async function openSources(settings: AccessSettings, parts: AccessParts, closers: Closers): Promise<AccessControl> {
  const { metadata, runtime } = parts;
  const { tokenServer, challenge } = settings;
  const hasTokenServer = tokenServer !== undefined;
  const declared = hasTokenServer && settings.rules.length === 0 ? rulesOfTokenServer : settings.rules;
  const rules = new StoredRuleBook(declared, metadata, runtime);
  const groupsOf = createGroups(settings.groups);
  const identities = await openIdentities(settings, { ...parts, groupsOf }, closers);
  const { accounts, oidc, people, htpasswd, sources, revive } = identities;
  const hasTokens = !hasTokenServer && challenge === 'bearer';
  const keys = hasTokens ? await openKeys(settings, parts) : undefined;
  const tokens = keys && createTokens(settings, keys, revive, runtime);
  const external = hasTokenServer ? new ExternalTokens(tokenServer, runtime) : undefined;
  const bearers: readonly (IdentifyToken | undefined)[] = [
    (token) => identifyAccount(accounts, token),
    tokens && (async (token) => refuseDisabled(people, await tokens.identify(token))),
    external && ((token) => external.identify(token)),
    (token) => oidc.identify(token),
  ];
  const sessions = new Sessions({ metadata, runtime, revive });
  const lastLogins = new LastLogins({ metadata, runtime });
  const needsGrants = declared === rulesOfTokenServer;
  return new RuledAccess({
    rules: () => rules.rules(),
    sources,
    bearers: bearers.filter((identify) => identify !== undefined),
    challenge: describeChallenge(settings, parts.prefix),
    groupsOf,
    grantsBy: hasTokenServer ? 'repository' : 'wire name',
    needsGrants,
    tokens,
    sessions,
    meetHostUser: (user) => people.meet(user),
    noteLogin: (user) => lastLogins.note(user),
    logins: identities.logins,
    loginUrl: settings.loginUrl,
    administration: {
      accounts,
      rules,
      people: createPeople({ accounts, htpasswd, people, sessions, lastLogins, groupsOf }),
      check: createAccessReport({
        accounts,
        findPerson: (name) => people.describe(name),
        rules,
        groupsOf,
        needsGrants,
      }),
      ...administerKeys(keys),
    },
  });
}

async function identifyAccount(accounts: StoredAccounts, token: string): ReturnType<IdentifyToken> {
  if (!accounts.claims('', token)) return undefined;
  const identity = await accounts.identify(token);
  return typeof identity === 'string' ? identity : { ...identity, via: 'bearer', source: accounts.kind };
}

/**
 * Refuses access tokens that a user of the host application got before an administrator disabled the user. They have no stamp,
 * so nothing has looked the user up.
 */
async function refuseDisabled(
  people: Identities['people'],
  found: Awaited<ReturnType<IdentifyToken>>,
): ReturnType<IdentifyToken> {
  if (typeof found !== 'object' || found.source !== 'host' || found.stamp !== undefined) return found;
  return (await people.isHostUserDisabled(found.id)) ? 'disabled' : found;
}

function openKeys({ tokens }: AccessSettings, { metadata, runtime }: AccessParts): Promise<SigningKeys> {
  return openSigningKeys({
    keys: tokens.keys,
    store: metadata,
    runtime,
    rotateSeconds: tokens.rotateSeconds,
    keepSeconds: Math.max(tokens.refreshLifetimeSeconds, tokens.lifetimeSeconds),
  });
}

function createTokens(
  { tokens }: AccessSettings,
  keys: SigningKeys,
  revive: Identities['revive'],
  runtime: Runtime,
): BearerTokens {
  return new BearerTokens({
    ...tokens,
    keys,
    runtime,
    revive,
  });
}

function describeChallenge({ challenge, tokens, tokenServer }: AccessSettings, prefix: string): ChallengeOptions {
  if (challenge === 'basic') return { scheme: 'basic' };
  const { service } = tokenServer ?? tokens;
  return { scheme: 'bearer', realm: tokenServer?.realm, service, prefix };
}

function createGroups(groups: AccessSettings['groups']): (id: string) => readonly string[] {
  const byMember = new Map<string, string[]>();
  for (const [group, members] of Object.entries(groups)) {
    for (const member of members) byMember.set(member, [...(byMember.get(member) ?? []), group]);
  }
  return (id) => byMember.get(id) ?? [];
}

function administerKeys(keys: SigningKeys | undefined): {
  rotateKeys(by: Actor): Promise<SigningKeyInfo>;
  listKeys(): Promise<readonly SigningKeyInfo[]>;
} {
  return {
    rotateKeys: (by) => {
      if (keys !== undefined) return keys.rotate(by);
      return Promise.reject(
        new RegistryError('CONFLICT', { message: 'this registry does not sign tokens, so it has no keys to rotate' }),
      );
    },
    listKeys: () => keys?.list() ?? Promise.resolve([]),
  };
}
