import type { AccessAdministration, Accounts } from '../../../ports/access/access.js';
import { RegistryError } from '../../../protocol/errors.js';
import { notFound } from '../../../protocol/settings/access-names.js';
import { decodeToken, encodeToken } from '../../../protocol/tables/documents/access-documents.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import { readDocument } from '../../bodies/document.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';
import { noStore } from './session-list.js';

/** The dependencies of `createOwnTokenHandlers`. */
export interface OwnTokenParts {
  /** Absent if access control is off. */
  readonly administration: AccessAdministration | undefined;
  /** Returns the time in ms since the epoch. */
  readonly now: () => number;
}

type OwnTokenOp = 'session.tokens' | 'session.createToken' | 'session.deleteToken';
type Handlers = { readonly [O in OwnTokenOp]: Handler<ManagementParams<O>> };

/** Creates the handlers of the management API for users who manage their own tokens. */
export function createOwnTokenHandlers(parts: () => OwnTokenParts): Handlers {
  const accounts = (): Accounts => {
    const { administration } = parts();
    if (administration !== undefined) return administration.accounts;
    const message = 'this registry has no users: set rules in the option access to use tokens';
    throw new RegistryError('UNSUPPORTED', { status: 404, message });
  };
  return {
    'session.tokens': async ({ caller: { principal } }) =>
      jsonReply(200, { tokens: (await accounts().ownTokens(principal)).map(encodeToken) }, noStore),
    'session.createToken': async ({ caller, req, body, prefix }) => {
      const settings = decodeToken(await readDocument({ req, body }), parts().now());
      const { token, secret } = await accounts().createOwnToken(caller.principal, settings, caller.actor);
      const location = `${prefix}/api/v1/session/tokens/${token.id}`;
      const headers = { Location: location, 'Cache-Control': 'no-store, no-transform' };
      return jsonReply(201, { ...encodeToken(token), token: secret }, headers);
    },
    'session.deleteToken': async ({ caller, params: { token } }) => {
      if (!(await accounts().deleteOwnToken(caller.principal, token, caller.actor))) throw notFound('token');
      return { status: 204 };
    },
  };
}
