import type { AccessControl, IdentitySource, SigningKeyInfo } from '../ports/access.js';
import type { Actor } from '../ports/journal.js';
import type { Documents } from '../ports/documents.js';
import type { MetadataWriter } from '../ports/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import type { AccessRule } from '../protocol/settings/access-config.js';
import type { AccessSettings } from '../protocol/settings/access-settings.js';
import { RegistryError } from '../protocol/errors.js';
import { Closers } from '../util/closers.js';
import { createAccessCheck } from './access-check.js';
import { StoredAccounts } from './identities/accounts.js';
import { BearerTokens } from './tokens/bearer-token.js';
import type { ChallengeOptions } from './challenge.js';
import { ExternalTokens } from './tokens/external-tokens.js';
import { HtpasswdSource } from './identities/htpasswd.js';
import { LoginThrottle } from './identities/login-throttle.js';
import { OidcSource } from './identities/oidc.js';
import { StoredProviderLogins } from './identities/provider-logins.js';
import { StoredRuleBook } from './rule-book.js';
import { RuledAccess, type IdentifyToken } from './ruled-access.js';
import { Sessions, type SessionParts } from './sessions.js';
import { PasswordClient } from './identities/password-client.js';
import { openSigningKeys } from './tokens/open-signing-keys.js';
import type { SigningKeys } from './tokens/signing-keys.js';

/** What access control needs from the registry. */
export interface AccessParts {
  readonly metadata: Documents & MetadataWriter;
  readonly runtime: Runtime;
  /** The path in front of `/v2`. */
  readonly prefix: string;
}

/** Returns the user of a source if the credential with this stamp is still valid. */
type Revive = (source: string, id: string, stamp: string) => ReturnType<SessionParts['revive']>;

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
  const htpasswd =
    settings.htpasswd === undefined
      ? undefined
      : await HtpasswdSource.open({
          path: settings.htpasswd,
          verifier: new PasswordClient(),
          throttle: new LoginThrottle({ now: () => runtime.now() }),
          runtime,
        });
  if (htpasswd !== undefined) closers.add('htpasswd', () => htpasswd.close());
  const accounts = new StoredAccounts(metadata, runtime, {
    isTaken: (name) => htpasswd?.has(name) ?? false,
    revive: (source, id, stamp) => revive(source, id, stamp),
  });
  const oidc = new OidcSource(settings.oidc, runtime);
  // The htpasswd file comes last, because it claims every password.
  const sources: readonly IdentitySource[] = [accounts, oidc, ...(htpasswd === undefined ? [] : [htpasswd])];
  // A person with the name of a CI system would get its permissions.
  const machines = new Set(settings.oidc.flatMap(({ identities }) => identities.map(({ user }) => user)));
  const logins = new StoredProviderLogins(settings.login, {
    runtime,
    isTaken: async (name) =>
      machines.has(name) || (await htpasswd?.has(name)) === true || (await accounts.get(name)) !== undefined,
  });
  const hasTokens = !hasTokenServer && challenge === 'bearer';
  const keys = hasTokens ? await openKeys(settings, parts) : undefined;
  const revive: Revive = async (kind, id, stamp) => sources.find((one) => one.kind === kind)?.revive(id, stamp);
  const tokens = keys && createTokens(settings, keys, revive, runtime);
  const external = hasTokenServer ? new ExternalTokens(tokenServer, runtime) : undefined;
  const bearers: readonly (IdentifyToken | undefined)[] = [
    (token) => identifyAccount(accounts, token),
    tokens && ((token) => tokens.identify(token)),
    external && ((token) => external.identify(token)),
    (token) => oidc.identify(token),
  ];
  const groupsOf = createGroups(settings.groups);
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
    sessions: new Sessions({ metadata, runtime, revive, accepts: (user, stamp) => logins.accepts(user, stamp) }),
    logins,
    loginUrl: settings.loginUrl,
    administration: {
      accounts,
      rules,
      check: createAccessCheck({ accounts, rules, groupsOf, needsGrants }),
      ...administerKeys(keys),
    },
  });
}

async function identifyAccount(accounts: StoredAccounts, token: string): ReturnType<IdentifyToken> {
  if (!accounts.claims('', token)) return undefined;
  const identity = await accounts.identify(token);
  return typeof identity === 'string' ? identity : { ...identity, via: 'bearer', source: accounts.kind };
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

function createTokens({ tokens }: AccessSettings, keys: SigningKeys, revive: Revive, runtime: Runtime): BearerTokens {
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
