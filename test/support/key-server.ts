import { exportJWK, type CryptoKey, type JWK } from 'jose';
import { listen, type Listening } from './registry.js';

/** An issuer on loopback: its discovery document and its keys, or whatever a test makes it answer instead. */
export interface KeyServer extends Pick<Listening, 'url' | 'close'> {
  /** The paths that were asked for. */
  readonly asked: string[];
  /** JWKs that it serves. */
  keys: JWK[];
  /** Answers by path, instead of its own; without a body it redirects, with status 0 it cuts the connection. */
  readonly instead: Map<string, { readonly status: number; readonly body?: string; readonly location?: string }>;
}

export const discoveryPath = '/.well-known/openid-configuration';

export async function startKeyServer(): Promise<KeyServer> {
  const asked: string[] = [];
  const instead: KeyServer['instead'] = new Map();
  const listening = await listen((req, res) => {
    const path = req.url ?? '';
    asked.push(path);
    const other = instead.get(path);
    if (other?.status === 0) {
      req.socket.destroy();
      return;
    }
    if (other !== undefined) {
      res.writeHead(other.status, other.location === undefined ? {} : { Location: other.location }).end(other.body);
      return;
    }
    const own: Record<string, object> = {
      [discoveryPath]: { issuer: server.url, jwks_uri: `${server.url}/jwks` },
      '/jwks': { keys: server.keys },
      '/elsewhere': { keys: server.keys },
    };
    const document = own[path];
    res
      .writeHead(document === undefined ? 404 : 200, { 'Content-Type': 'application/json' })
      .end(JSON.stringify(document ?? {}));
  });
  const server: KeyServer = { url: listening.url, close: () => listening.close(), asked, keys: [], instead };
  return server;
}

export async function publicJwk(key: CryptoKey, kid?: string): Promise<JWK> {
  return { ...(await exportJWK(key)), ...(kid === undefined ? {} : { kid }) };
}
