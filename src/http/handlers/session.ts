import type { AccessControl, ClientInfo, Principal } from '../../ports/access.js';
import type { SessionDocument } from '../../protocol/documents/session.js';
import type { sessionEndpoints } from '../../protocol/tables/session-endpoints.js';
import type { ManagementParams } from '../../protocol/tables/management.js';
import type { Handler } from '../exchange.js';
import { jsonReply } from '../reply.js';

/** The dependencies of `createSessionHandlers`. */
export interface SessionParts {
  readonly access: AccessControl;
}

/** What people need to know of the registry, whoever they are. */
export interface RegistryFacts {
  readonly version: string;
  /** What precedes `/v2`. */
  readonly prefix: string;
}

type SessionOp = (typeof sessionEndpoints)[number]['op'];
type Handlers = { readonly [O in SessionOp]: Handler<ManagementParams<O>> };

/** Creates the handlers of the management API for people who use the web UI. */
export function createSessionHandlers(parts: () => SessionParts, facts: RegistryFacts): Handlers {
  return {
    'session.get': async ({ caller, client }) =>
      jsonReply(200, await describeSession(parts().access, facts, caller.principal, client), noStore),
  };
}

/** Answers about a person are for this person only. */
const noStore = { 'Cache-Control': 'no-store' };

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
    principal: isAnonymous ? null : { id: principal.id, groups: principal.groups, via: principal.via },
    may: { admin, monitor, browse },
    mode,
    registry: { host: url?.host ?? host ?? '', secure: url?.protocol === 'https:', prefix, version },
    login: { password: false },
  };
}
