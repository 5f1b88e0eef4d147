import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { listen } from '../servers/registry.js';

/** The client that the test provider knows. */
export const clientOf = { clientId: 'registry', clientSecret: 'secret: of + the/client' } as const;

/** What a test changes about the answers of the provider. */
export interface Manner {
  /** Replaces claims of the identity token; `undefined` removes one. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Signs with a key that is not in the key set. */
  readonly isForged?: true;
  /** Answers the token endpoint with this status. */
  readonly tokenStatus?: number;
  /** The discovery document, as far as it differs. */
  readonly discovery?: Readonly<Record<string, unknown>>;
  /** Shows a page with a link, as a provider does that asks the user. */
  readonly asks?: true;
}

/** A small OIDC provider on a loopback address. */
export interface TestProvider {
  readonly issuer: string;
  manner: Manner;
  /** The queries of the requests to log in, in their order. */
  readonly asked: readonly URLSearchParams[];
  /** How often the discovery document was requested. */
  discoveries: number;
  close(): Promise<void>;
}

interface Grant {
  readonly query: URLSearchParams;
}

/** Starts a provider that logs in Ana at once, and redeems each code once, for the client and the verifier that it was for. */
export async function startLoginProvider(): Promise<TestProvider> {
  const keys = await generateKeyPair('ES256');
  const others = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES256' };
  const grants = new Map<string, Grant>();
  const asked: URLSearchParams[] = [];
  let issuer = '';
  const provider = { manner: {} as Manner, discoveries: 0 };

  const answerToken = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const grant = grants.get(form.get('code') ?? '');
    grants.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const isRight =
      isClient(req, form) &&
      form.get('redirect_uri') === grant?.query.get('redirect_uri') &&
      challenge === grant?.query.get('code_challenge');
    const { tokenStatus = isRight ? 200 : 400, claims, isForged } = provider.manner;
    if (tokenStatus !== 200) return send(res, tokenStatus, { error: 'invalid_grant' });
    const seconds = Math.floor(Date.now() / 1000);
    const payload = {
      iss: issuer,
      aud: clientOf.clientId,
      sub: '1001',
      nonce: grant?.query.get('nonce'),
      iat: seconds,
      exp: seconds + 300,
      email: 'ana@example.com',
      email_verified: true,
      preferred_username: 'ana',
      groups: ['team', 7],
      ...claims,
    };
    const token = await new SignJWT(payload)
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .sign(isForged === true ? others.privateKey : keys.privateKey);
    return send(res, 200, { access_token: 'unused', token_type: 'Bearer', id_token: token });
  };

  const authorize = (query: URLSearchParams, res: ServerResponse): void => {
    asked.push(query);
    const code = randomBytes(8).toString('hex');
    grants.set(code, { query });
    const back = new URL(query.get('redirect_uri') ?? '');
    back.searchParams.set('code', code);
    back.searchParams.set('state', query.get('state') ?? '');
    back.searchParams.set('session_state', 'a parameter of the provider');
    if (provider.manner.asks === undefined) {
      res.writeHead(302, { Location: back.href }).end();
      return;
    }
    const link = `<a href="${back.href.replaceAll('&', '&amp;')}">Continue as Ana</a>`;
    res.writeHead(200, { 'Content-Type': 'text/html' }).end(`<!doctype html><title>Provider</title>${link}`);
  };

  const listening = await listen((req, res) => {
    const { pathname, searchParams } = new URL(req.url ?? '/', issuer);
    if (pathname === '/.well-known/openid-configuration') {
      provider.discoveries++;
      const endpoints = { authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` };
      send(res, 200, { issuer, ...endpoints, jwks_uri: `${issuer}/jwks`, ...provider.manner.discovery });
    } else if (pathname === '/jwks') send(res, 200, { keys: [jwk] });
    else if (pathname === '/authorize') authorize(searchParams, res);
    else if (pathname === '/token') void answerToken(req, res);
    else send(res, 404, {});
  });
  issuer = listening.url;
  return Object.assign(provider, { issuer, asked, close: () => listening.close() });
}

/** Returns whether the request has the id and the secret, in the header or in the form. */
function isClient({ headers }: IncomingMessage, form: URLSearchParams): boolean {
  const [, encoded = ''] = /^Basic (.+)$/.exec(headers.authorization ?? '') ?? [];
  const [id = '', secret = ''] = Buffer.from(encoded, 'base64').toString().split(':');
  const given = encoded === '' ? [form.get('client_id'), form.get('client_secret')] : [plain(id), plain(secret)];
  return given[0] === clientOf.clientId && given[1] === clientOf.clientSecret;
}

function plain(text: string): string {
  return new URLSearchParams(`x=${text}`).get('x') ?? '';
}

function send(res: ServerResponse, status: number, document: object): void {
  res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(document));
}
