import type { AccessControl, ClientInfo, ImageAction, Principal, TokenIssuer } from '../../ports/access.js';
import type { RepositoryDirectory } from '../../ports/repository.js';
import type { TokenGrant } from '../../protocol/tokens/token-scope.js';
import type { RegistryParams } from '../../protocol/tables/endpoints.js';
import { RegistryError } from '../../protocol/errors.js';
import { tryParseName } from '../../protocol/names.js';
import { formatScope, parseScopes } from '../../protocol/tokens/token-scope.js';
import type { Exchange, Handler } from '../exchange.js';
import { usable } from '../permission.js';
import { jsonReply, type Reply } from '../reply.js';

const maxFormBytes = 64 * 1024;
const imageActions: readonly ImageAction[] = ['pull', 'push', 'delete'];

export interface TokenParts {
  readonly access: AccessControl;
  readonly directory: RepositoryDirectory;
}

interface Asked {
  readonly principal: Principal;
  readonly scopes: readonly string[];
  readonly offline: boolean;
  /** What came in place of a password, and stays valid. */
  readonly refreshToken?: string;
}

/** The token endpoint by GET (docker token auth): who asks is in `Authorization`, or nobody. */
export function createGetToken(parts: () => TokenParts): Handler<RegistryParams<'token.get'>> {
  return ({ query, caller, client }) =>
    answer(parts(), client, {
      principal: caller.principal,
      scopes: query.getAll('scope'),
      offline: query.get('offline_token') === 'true',
    });
}

/** The token endpoint by POST (OAuth2): a password or a refresh token in a form. */
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
      return answer(core, client, { ...common, principal: await issuer.refresh(refreshToken, client), refreshToken });
    }
    if (grantType !== 'password') {
      const message = "grant_type must be 'password' or 'refresh_token'";
      throw new RegistryError('UNSUPPORTED', { status: 400, message });
    }
    const [username, password] = [form.get('username') ?? '', form.get('password') ?? ''];
    // Empty is nobody, as with Basic.
    const isNobody = username === '' && password === '';
    const principal = isNobody ? exchange.caller.principal : await issuer.login(username, password, client);
    return answer(core, client, { ...common, principal });
  };
}

async function answer(parts: TokenParts, client: ClientInfo, asked: Asked): Promise<Reply> {
  const issuer = issuerOf(parts);
  const { principal, refreshToken } = asked;
  // Tokens beget no tokens: they would live for ever. And whoever did not log in gets one only where it is good for something.
  const isRefused = principal.grants !== undefined || !(await parts.access.permits(principal, 'token'));
  if (isRefused) throw parts.access.refusal(principal, { access: 'token', client, wanted: [] });
  const grants: TokenGrant[] = [];
  for (const wanted of parseScopes(asked.scopes)) {
    const actions = await allowedActions(parts, principal, wanted, client.host);
    if (actions.length > 0) grants.push({ ...wanted, actions });
  }
  const issued = await issuer.issue(principal, grants, { offline: asked.offline && refreshToken === undefined });
  const refresh = issued.refreshToken ?? refreshToken;
  const body = {
    // The one name is docker's, the other OAuth2's: clients read either.
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
 * What of a scope is allowed: less than was asked is still a token (protocol: 4.2). A name may mean several images, by
 * namespaces that only a later request will tell; the rules are asked again then.
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
  const asked = imageActions.filter((action) => actions.includes(action) || actions.includes('*'));
  const allowed = new Set<ImageAction>();
  for (const resolved of directory.resolveAll(wireName, host)) {
    const missing = asked.filter((action) => !allowed.has(action));
    if (missing.length === 0) break;
    for (const action of await usable(access, principal, missing, resolved)) allowed.add(action);
  }
  return asked.filter((action) => allowed.has(action));
}

function issuerOf({ access }: TokenParts): TokenIssuer {
  if (access.tokens !== undefined) return access.tokens;
  throw new RegistryError('UNSUPPORTED', { status: 404, message: 'this registry gives no tokens' });
}

async function readForm({ req, body }: Exchange<unknown>): Promise<URLSearchParams> {
  if (!/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(req.headers['content-type'] ?? '')) {
    const message = 'the body must be application/x-www-form-urlencoded';
    throw new RegistryError('UNSUPPORTED', { status: 415, message });
  }
  const tooLarge = (): RegistryError =>
    new RegistryError('SIZE_INVALID', { status: 413, detail: { maxBytes: maxFormBytes } });
  return new URLSearchParams((await body.read(maxFormBytes, tooLarge)).toString('utf8'));
}
