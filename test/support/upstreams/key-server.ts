import { exportJWK, type CryptoKey, type JWK } from 'jose';
import { listen, type Listening } from '../servers/registry.js';

/** An issuer on loopback with a discovery document and keys. Tests can replace its answers. */
export interface KeyServer extends Pick<Listening, 'url' | 'close'> {
  /** The requested paths. */
  readonly asked: string[];
  /** The JWKs that it serves. */
  keys: JWK[];
  /** Replacement answers by path. Without a body it redirects, and with status 0 it closes the connection. */
  readonly instead: Map<string, { readonly status: number; readonly body?: string; readonly location?: string }>;
}

/** The path of the discovery document (OpenID Connect Discovery 1.0, section 4). */
export const discoveryPath = '/.well-known/openid-configuration';

/** Starts an issuer. */
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

/** Exports a public key as a JWK. */
export async function publicJwk(key: CryptoKey, kid?: string): Promise<JWK> {
  return { ...(await exportJWK(key)), ...(kid === undefined ? {} : { kid }) };
}
