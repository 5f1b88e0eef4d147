import type { AccessControl, ClientInfo, ImageAction, Principal, TokenIssuer } from '../../../ports/access/access.js';
import type { AuditTrail } from '../../../ports/operations/audit.js';
import type { Actor } from '../../../ports/metadata/journal.js';
import type { RepositoryDirectory } from '../../../ports/repository.js';
import type { TokenGrant } from '../../../protocol/tokens/token-scope.js';
import type { RegistryParams } from '../../../protocol/tables/endpoints.js';
import { RegistryError } from '../../../protocol/errors.js';
import { tryParseName } from '../../../protocol/names.js';
import { formatScope, parseScopes } from '../../../protocol/tokens/token-scope.js';
import type { Exchange, Handler } from '../../exchange.js';
import type { RateLimiter } from '../../limits/rate-limit.js';
import { permittedActions } from '../../permission.js';
import { jsonReply, type Reply } from '../../reply.js';

const maxFormBytes = 64 * 1024;
const imageActions: readonly ImageAction[] = ['pull', 'push', 'delete'];

/** The dependencies of the token handlers. */
export interface TokenParts {
  readonly access: AccessControl;
  readonly directory: RepositoryDirectory;
  readonly audit?: AuditTrail | undefined;
  readonly rates: Pick<RateLimiter, 'admitPrincipal'>;
}

interface TokenRequest {
  readonly principal: Principal;
  readonly scopes: readonly string[];
  readonly offline: boolean;
  /** The refresh token that the client used instead of a password. It stays valid. */
  readonly refreshToken?: string;
}

/** Creates the handler of GET (Docker token authentication), with optional credentials in `Authorization`. */
export function createGetToken(parts: () => TokenParts): Handler<RegistryParams<'token.get'>> {
  return ({ query, caller, client }) =>
    answer(parts(), client, {
      principal: caller.principal,
      scopes: query.getAll('scope'),
      offline: query.get('offline_token') === 'true',
    });
}

/** Creates the handler of POST (OAuth2), with a password or a refresh token in a form. */
export function createPostToken(parts: () => TokenParts): Handler<RegistryParams<'token.post'>> {
  return async (exchange) => {
    const form = await readForm(exchange);
    const core = parts();
    const issuer = issuerOf(core);
    const common = { scopes: form.getAll('scope'), offline: form.get('access_type') === 'offline' };
    const { client } = exchange;
    const grantType = form.get('grant_type');
    if (grantType === 'refresh_token') {
      const refreshToken = form.get('refresh_token') ?? '';
      const principal = await issuer.refresh(refreshToken, client);
      admit(core, principal, exchange.caller.actor);
      return answer(core, client, { ...common, principal, refreshToken });
    }
    if (grantType !== 'password') {
      const message = 'grant_type must be "password" or "refresh_token"';
      throw new RegistryError('UNSUPPORTED', { status: 400, message });
    }
    const [username, password] = [form.get('username') ?? '', form.get('password') ?? ''];
    // Empty credentials are anonymous, as with Basic.
    const isAnonymous = username === '' && password === '';
    const principal = isAnonymous ? exchange.caller.principal : await issuer.login(username, password, client);
    if (!isAnonymous) admit(core, principal, exchange.caller.actor);
    return answer(core, client, { ...common, principal });
  };
}

/**
 * Counts and notes a login with credentials in the body, which only the handler can read.
 * @throws RegistryError TOOMANYREQUESTS after too many requests of the user.
 */
function admit({ audit, rates }: TokenParts, principal: Principal, actor: Actor): void {
  rates.admitPrincipal(principal);
  audit?.login({ ...actor, principal: principal.id, via: principal.via });
}

async function answer(parts: TokenParts, client: ClientInfo, request: TokenRequest): Promise<Reply> {
  const issuer = issuerOf(parts);
  const { principal, refreshToken } = request;
  // A token must not yield a token, or it could be renewed forever. Anonymous users get one only if it allows anything.
  const isRefused = principal.grants !== undefined || !(await parts.access.permits(principal, 'token'));
  if (isRefused) throw parts.access.refusal(principal, { access: 'token', client, requiredGrants: [] });
  const grants: TokenGrant[] = [];
  for (const scope of parseScopes(request.scopes)) {
    const actions = await allowedActions(parts, principal, scope, client.host);
    if (actions.length > 0) grants.push({ ...scope, actions });
  }
  const issued = await issuer.issue(principal, grants, { offline: request.offline && refreshToken === undefined });
  const refresh = issued.refreshToken ?? refreshToken;
  const body = {
    // Docker clients read `token`, OAuth2 clients `access_token`.
    token: issued.token,
    access_token: issued.token,
    scope: formatScope(grants),
    expires_in: issued.expiresInSeconds,
    issued_at: new Date(issued.issuedAt).toISOString(),
    ...(refresh === undefined ? {} : { refresh_token: refresh }),
  };
  return jsonReply(200, body, { 'Cache-Control': 'no-store' });
}

/**
 * Returns the actions of a scope that the principal may perform. A token with fewer actions than requested is valid. A name
 * may mean several images, depending on the `ns` parameter of a later request, which is checked again then.
 */
async function allowedActions(
  { access, directory }: TokenParts,
  principal: Principal,
  { type, name, actions }: TokenGrant,
  host: string | undefined,
): Promise<readonly string[]> {
  if (type === 'registry' && name === 'catalog') return (await access.permits(principal, 'catalog')) ? actions : [];
  const wireName = type === 'repository' ? tryParseName(name) : undefined;
  if (wireName === undefined) return [];
  const requested = imageActions.filter((action) => actions.includes(action) || actions.includes('*'));
  const allowed = new Set<ImageAction>();
  for (const resolved of directory.resolveAll(wireName, host)) {
    const missing = requested.filter((action) => !allowed.has(action));
    if (missing.length === 0) break;
    for (const action of await permittedActions(access, principal, missing, resolved)) allowed.add(action);
  }
  return requested.filter((action) => allowed.has(action));
}

function issuerOf({ access }: TokenParts): TokenIssuer {
  if (access.tokens !== undefined) return access.tokens;
  throw new RegistryError('UNSUPPORTED', { status: 404, message: 'this registry does not issue tokens' });
}

async function readForm({ req, body }: Exchange<unknown>): Promise<URLSearchParams> {
  if (!/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(req.headers['content-type'] ?? '')) {
    const message = 'the body must be application/x-www-form-urlencoded';
    throw new RegistryError('UNSUPPORTED', { status: 415, message });
  }
  const tooLarge = (): RegistryError =>
    new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `the form is too large: at most ${maxFormBytes} bytes are allowed`,
      detail: { maxBytes: maxFormBytes },
    });
  return new URLSearchParams((await body.read(maxFormBytes, tooLarge)).toString('utf8'));
}
