import type { AccessControl, Principal } from '../../../ports/access/access.js';
import { RegistryError } from '../../../protocol/errors.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import { encodeSession, sessionNotFound } from '../../../protocol/tables/documents/session-documents.js';
import { readSessionCookie } from '../../clients/session-cookie.js';
import type { Exchange, Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

type SessionListOp = 'session.list' | 'session.end' | 'session.endAll';
type Handlers = { readonly [O in SessionListOp]: Handler<ManagementParams<O>> };

/** Headers of answers about a person, which only this person may see. */
export const noStore = { 'Cache-Control': 'no-store' };

/** Creates the handlers of the management API that list and end logins to the web UI. */
export function createSessionListHandlers(access: () => AccessControl): Handlers {
  return {
    'session.list': async (exchange) => {
      refuseLimited(exchange.caller.principal);
      const value = readSessionCookie(exchange.req, exchange.client);
      const sessions = await keeperOf(access()).list({ user: await whose(access(), exchange), value });
      return jsonReply(200, { sessions: sessions.map(encodeSession) }, noStore);
    },
    'session.endAll': async (exchange) => {
      const { query, caller } = exchange;
      refuseLimited(caller.principal);
      // Without a name, even administrators end only their own.
      const user = query.has('user') ? await whose(access(), exchange) : caller.principal.id;
      return jsonReply(200, { ended: await keeperOf(access()).endAll({ user }) });
    },
    'session.end': async ({ caller: { principal }, params: { login: id } }) => {
      refuseLimited(principal);
      const user = (await access().permits(principal, 'admin')) ? undefined : principal.id;
      if ((await keeperOf(access()).endAll({ id, user })) === 0) throw sessionNotFound();
      return { status: 204 };
    },
  };
}

/** Returns the part that keeps the sessions. @throws RegistryError UNSUPPORTED when the registry has no users. */
export function keeperOf({ sessions }: AccessControl): NonNullable<AccessControl['sessions']> {
  if (sessions !== undefined) return sessions;
  throw new RegistryError('UNSUPPORTED', {
    status: 404,
    message: 'this registry has no users: set rules in the option access to log in',
  });
}

/** Refuses tokens with limits, because sessions may do more than such a token. @throws RegistryError DENIED */
function refuseLimited({ limits }: Principal): void {
  if (limits === undefined) return;
  throw new RegistryError('DENIED', { message: 'a token with limits cannot list or end sessions' });
}

/**
 * Returns the user whose sessions a request is about; `undefined` for everyone's.
 * @throws RegistryError DENIED for those of others.
 */
async function whose(
  access: AccessControl,
  { query, client, caller: { principal } }: Exchange<unknown>,
): Promise<string | undefined> {
  const user = query.get('user') ?? undefined;
  if (user === principal.id) return user;
  if (await access.permits(principal, 'admin')) return user;
  if (user === undefined) return principal.id;
  throw access.refusal(principal, { access: 'admin', client, requiredGrants: [] });
}
