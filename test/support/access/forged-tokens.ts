import {
  base64url,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  exportPKCS8,
  exportSPKI,
  generateKeyPair,
  importPKCS8,
  importSPKI,
  SignJWT,
} from 'jose';
import type { CryptoKey, JWTPayload, JWTHeaderParameters } from 'jose';

/** An extractable key pair. */
export interface KeyPair {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

/** Generates a key pair for an algorithm. */
export async function makeKeyPair(alg: string): Promise<KeyPair> {
  return generateKeyPair(alg, { extractable: true });
}

/** Generates a key pair for each algorithm. RSA algorithms share one key, since generating RSA keys is slow. */
export async function makeKeyPairs(algorithms: readonly string[]): Promise<ReadonlyMap<string, KeyPair>> {
  const rsa = await makeKeyPair('RS256');
  const [secret, open] = [await exportPKCS8(rsa.privateKey), await exportSPKI(rsa.publicKey)];
  const pairs = algorithms.map(async (alg): Promise<[string, KeyPair]> => {
    if (!/^[RP]S/.test(alg)) return [alg, await makeKeyPair(alg)];
    const extractable = { extractable: true };
    const privateKey = await importPKCS8(secret, alg);
    return [alg, { privateKey, publicKey: await importSPKI(open, alg, extractable) }];
  });
  return new Map(await Promise.all(pairs));
}

/** Signs a JWT, valid or not. */
export async function signJwt(
  payload: JWTPayload,
  header: JWTHeaderParameters,
  key: CryptoKey | Uint8Array,
): Promise<string> {
  return new SignJWT(payload).setProtectedHeader(header).sign(key);
}

/** Assembles a JWT from a header, a payload and any signature. */
export function assembleJwt(header: object, payload: object, signature: string): string {
  return (
    [JSON.stringify(header), JSON.stringify(payload)].map((part) => base64url.encode(part)).join('.') + `.${signature}`
  );
}

/**
 * Returns the tokens that an attacker can forge from a valid token without the private key, with a description of each.
 */
export async function forgeTokens(good: string, publicKey: CryptoKey): Promise<[what: string, token: string][]> {
  const header = decodeProtectedHeader(good) as JWTHeaderParameters;
  const payload = decodeJwt(good);
  const [, body = '', signature = ''] = good.split('.');
  const mine = await makeKeyPair('ES256');
  const jwk = await exportJWK(mine.publicKey);
  const spki = new TextEncoder().encode(await exportSPKI(publicKey));
  const other = signature.startsWith('A') ? 'B' : 'A';
  return [
    ['no signature', assembleJwt({ ...header, alg: 'none' }, payload, '')],
    ['alg none with the old signature', assembleJwt({ ...header, alg: 'none' }, payload, signature)],
    ['an empty signature', assembleJwt(header, payload, '')],
    ['HS256 with the public key as the secret', await signJwt(payload, { ...header, alg: 'HS256' }, spki)],
    ['another algorithm in the header', assembleJwt({ ...header, alg: 'PS512' }, payload, signature)],
    ['an unknown algorithm', assembleJwt({ ...header, alg: 'ES256K' }, payload, signature)],
    ['a changed payload', assembleJwt(header, { ...payload, sub: 'root' }, signature)],
    ['a changed signature', `${good.slice(0, -signature.length)}${other}${signature.slice(1)}`],
    ['another key', await signJwt(payload, { ...header, alg: 'ES256' }, mine.privateKey)],
    ['a key in its header', await signJwt(payload, { ...header, alg: 'ES256', jwk }, mine.privateKey)],
    ['a key in its header, and no kid', await signJwt(payload, { typ: 'JWT', alg: 'ES256', jwk }, mine.privateKey)],
    [
      'an address of keys in its header',
      await signJwt(payload, { ...header, alg: 'ES256', jku: 'http://127.0.0.1:1/' }, mine.privateKey),
    ],
    ['a critical extension', assembleJwt({ ...header, crit: ['b64'], b64: false }, payload, signature)],
    [
      'a certificate in its header',
      await signJwt(payload, { ...header, alg: 'ES256', x5c: ['AAAA'] }, mine.privateKey),
    ],
    ['two parts', `${good.split('.')[0]}.${body}`],
    ['four parts', `${good}.${signature}`],
    ['no type of algorithm', assembleJwt({ typ: 'JWT', kid: header.kid, alg: 7 }, payload, signature)],
    ['a kid that is not a string', assembleJwt({ ...header, kid: { $ne: '' } }, payload, signature)],
    ['too many characters', assembleJwt(header, { ...payload, more: 'x'.repeat(16 * 1024) }, signature)],
  ];
}
