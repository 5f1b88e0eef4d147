import type { AccessControl, ClientInfo, Principal, ProviderLogins } from '../../../ports/access/access.js';
import type { LoginProblemCode } from '../../../protocol/documents/session.js';
import { RegistryError } from '../../../protocol/errors.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import type { LoginProblem } from '../../../protocol/tokens/login-problem.js';
import { userAgentOf } from '../../audit-notes.js';
import {
  readFlowCookie,
  readSessionCookie,
  refuseEmbedded,
  writeFlowCookie,
  writeSessionCookie,
} from '../../clients/session-cookie.js';
import type { Exchange, Handler } from '../../exchange.js';
import type { RateLimiter } from '../../limits/rate-limit.js';
import { keeperOf, noStore } from './session-list.js';

/** The dependencies of `createProviderHandlers`. */
export interface ProviderLoginParts {
  readonly access: AccessControl;
  readonly rates: Pick<RateLimiter, 'admitPrincipal'>;
}

type ProviderOp = 'session.beginLogin' | 'session.completeLogin';
type Handlers = { readonly [O in ProviderOp]: Handler<ManagementParams<O>> };

/** The web UI, from `/api/v1/session/oidc/<provider>`: relative, because a reverse proxy may have changed the path. */
const uiFromProvider = '../../../../ui/';
const uiFromCallback = '../../../../../ui/';

/** The problems that the web UI reports for a refused login. The log and the audit file have the reason. */
const problems: Partial<Record<LoginProblem, LoginProblemCode>> = {
  'wrong state': 'again',
  expired: 'again',
  replayed: 'again',
  'name taken': 'name',
  disabled: 'disabled',
  'unverified e-mail': 'email',
  'claim mismatch': 'claims',
};

/** Creates the handlers of the management API for logins at OIDC providers. */
export function createProviderHandlers(parts: () => ProviderLoginParts): Handlers {
  return {
    'session.beginLogin': async ({ prefix, client, params: { provider } }) => {
      const { redirectUri, flowPath } = placesOf(prefix, client, provider);
      const begun = await sendBack(loginsOf(parts().access).begin(provider, redirectUri), uiFromProvider);
      const cookie = writeFlowCookie(client, begun.secret, flowPath);
      return { status: 302, headers: { ...noStore, Location: begun.url, 'Set-Cookie': cookie } };
    },
    'session.completeLogin': async (exchange: Exchange<{ readonly provider: string }>) => {
      const { req, client, prefix, query, params } = exchange;
      refuseEmbedded(req);
      const { access, rates } = parts();
      const { redirectUri, flowPath, sessionPath } = placesOf(prefix, client, params.provider);
      const forget = writeFlowCookie(client, undefined, flowPath);
      const { address } = client;
      const answer = { query, secret: readFlowCookie(req, client), redirectUri, address };
      const signIn = async (): Promise<Principal> => {
        const signedIn = await loginsOf(access).complete(params.provider, answer);
        rates.admitPrincipal(signedIn);
        return { ...signedIn, via: 'session', source: 'oidc' };
      };
      const principal = await sendBack(signIn(), uiFromCallback, forget);
      const value = await keeperOf(access).start(principal, { address, agent: userAgentOf(req) });
      // As after a login with a password, the browser forgets its previous cookie.
      await keeperOf(access).end(readSessionCookie(req, client) ?? '');
      const cookies = [forget, writeSessionCookie(req, client, value, `; Path=${sessionPath}`)];
      return { status: 302, headers: { ...noStore, Location: uiFromCallback, 'Set-Cookie': cookies } };
    },
  };
}

function loginsOf({ logins }: AccessControl): ProviderLogins {
  if (logins !== undefined) return logins;
  throw new RegistryError('NOT_FOUND', { message: 'login provider not found' });
}

/**
 * Returns the addresses of a login, as the browser sees them.
 * @throws RegistryError UNSUPPORTED without a usable `Host`.
 */
function placesOf(
  prefix: string,
  { origin }: ClientInfo,
  provider: string,
): { readonly redirectUri: string; readonly flowPath: string; readonly sessionPath: string } {
  if (origin === undefined) {
    throw new RegistryError('UNSUPPORTED', { status: 400, message: 'the Host header is not usable: set publicUrl' });
  }
  const sessionPath = `${prefix}/api/v1`;
  const flowPath = `${sessionPath}/session/oidc/${provider}`;
  return { redirectUri: `${origin}${flowPath}/callback`, flowPath, sessionPath };
}

/**
 * Sends the browser back to the web UI with a code instead of a refusal, which still counts as one for the log. `Retry-After`
 * stays, for clients other than browsers (RFC 9110, section 10.2.3).
 */
async function sendBack<T>(work: Promise<T>, ui: string, cookie?: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code === 'NOT_FOUND') throw error;
    const { code, message, refusedLogin, refusal } = error;
    const cookies = cookie === undefined ? {} : { 'Set-Cookie': cookie };
    const location = { Location: `${ui}#/login?problem=${problemOf(error)}` };
    const headers = { ...error.headers, ...noStore, ...cookies, ...location };
    throw new RegistryError(code, { status: 302, message, headers, refusedLogin, refusal, cause: error });
  }
}

function problemOf({ code, refusedLogin }: RegistryError): LoginProblemCode {
  if (code === 'UNAVAILABLE') return 'unavailable';
  if (code === 'TOOMANYREQUESTS') return 'throttled';
  return problems[refusedLogin?.reason ?? 'malformed'] ?? 'refused';
}
