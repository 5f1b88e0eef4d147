import type { AccessControl, ClientInfo, Principal } from '../../../ports/access/access.js';
import type { SessionDocument } from '../../../protocol/documents/session.js';
import { decodeLogin } from '../../../protocol/tables/documents/session-documents.js';
import type { sessionEndpoints } from '../../../protocol/tables/rows/session-endpoints.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import { userAgentOf } from '../../audit-notes.js';
import type { Handler } from '../../exchange.js';
import { readDocument } from '../../bodies/document.js';
import { readSessionCookie, refuseForeignLogin, writeSessionCookie } from '../../clients/session-cookie.js';
import type { RateLimiter } from '../../limits/rate-limit.js';
import { jsonReply } from '../../reply.js';
import { createOwnTokenHandlers, type OwnTokenParts } from './own-tokens.js';
import { createProviderHandlers } from './provider-login.js';
import { createSessionListHandlers, keeperOf, noStore } from './session-list.js';

/** The dependencies of `createSessionHandlers`. */
export interface SessionParts extends OwnTokenParts {
  readonly access: AccessControl;
  readonly rates: Pick<RateLimiter, 'admitPrincipal'>;
}

/** Facts about the registry that everyone may know. */
export interface RegistryFacts {
  readonly version: string;
  /** The path before `/v2`. */
  readonly prefix: string;
}

type SessionOp = (typeof sessionEndpoints)[number]['op'];
type Handlers = { readonly [O in SessionOp]: Handler<ManagementParams<O>> };

/** Creates the handlers of the management API for people who use the web UI. */
export function createSessionHandlers(parts: () => SessionParts, facts: RegistryFacts): Handlers {
  return {
    'session.get': async ({ caller, client }) =>
      jsonReply(200, await describeSession(parts().access, facts, caller.principal, client), noStore),
    'session.create': async (exchange) => {
      const { access, rates } = parts();
      const { req, client } = exchange;
      refuseForeignLogin(req, client);
      const { username, password } = decodeLogin(await readDocument(exchange));
      const sessions = keeperOf(access);
      const principal = await sessions.login(username, password, client);
      rates.admitPrincipal(principal);
      const value = await sessions.start(principal, { address: client.address, agent: userAgentOf(req) });
      // Ends the session of a cookie that the browser already had, perhaps from someone else.
      await sessions.end(readSessionCookie(req, client) ?? '');
      const shown = await describeSession(access, facts, { ...principal, via: 'session' }, client);
      return jsonReply(200, shown, { ...noStore, 'Set-Cookie': writeSessionCookie(req, client, value) });
    },
    'session.delete': async ({ req, client }) => {
      await parts().access.sessions?.end(readSessionCookie(req, client) ?? '');
      return { status: 204, headers: { ...noStore, 'Set-Cookie': writeSessionCookie(req, client, undefined) } };
    },
    ...createSessionListHandlers(() => parts().access),
    ...createOwnTokenHandlers(parts),
    ...createProviderHandlers(parts),
  };
}

function describePrincipal({ id, groups, via, source }: Principal): SessionDocument['principal'] {
  return { id, groups, via, ...(source === undefined ? {} : { source }) };
}

async function describeSession(
  access: AccessControl,
  { version, prefix }: RegistryFacts,
  principal: Principal,
  { host, origin }: ClientInfo,
): Promise<SessionDocument> {
  const isAnonymous = principal.via === 'anonymous' || principal.id === 'anonymous';
  const [admin, monitor, browse] = await Promise.all([
    access.permits(principal, 'admin'),
    access.permits(principal, 'monitor'),
    access.permits(principal, 'browse'),
  ]);
  const url = origin === undefined ? undefined : new URL(origin);
  const mode = access.isOpen ? 'open' : access.isPublic ? 'read-only' : 'rules';
  return {
    principal: isAnonymous ? null : describePrincipal(principal),
    may: { admin, monitor, browse },
    mode,
    registry: { host: url?.host ?? host ?? '', secure: url?.protocol === 'https:', prefix, version },
    login: {
      password: access.sessions !== undefined,
      oidc: access.logins?.providers ?? [],
      ...(access.loginUrl === undefined ? {} : { url: access.loginUrl }),
    },
  };
}
