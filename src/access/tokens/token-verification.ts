import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type CryptoKey,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  type ProtectedHeaderParameters,
} from 'jose';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';

/** The public keys that a token with such a header may be signed with. @throws when it cannot tell. */
export type FindKeys = (header: ProtectedHeaderParameters) => Promise<readonly CryptoKey[]>;

/** Signatures that only the holder of a private key can make: nothing that is `none` or shares a secret. */
const foreignAlgorithms: readonly string[] = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
];
/** How far another server's clock may be off. */
export const foreignLeewaySeconds = 60;
/** How the tokens of others are verified. */
export const foreignRules = { algorithms: foreignAlgorithms, clockTolerance: foreignLeewaySeconds } as const;
const maxTokenChars = 16 * 1024;

export interface VerificationOptions extends Omit<JWTVerifyOptions, 'algorithms' | 'currentDate'> {
  readonly algorithms: readonly string[];
  readonly now: number;
}

/** Who a token says that it is from, which proves nothing yet; `undefined` when it is no JWT of a size that is read. */
export function readIssuer(token: string): string | undefined {
  return attempt(token, decodeJwt)?.iss;
}

/** The name that a token says, which proves nothing; for the log. */
export function readSubject(token: string): string {
  const subject: unknown = attempt(token, decodeJwt)?.sub;
  return typeof subject === 'string' ? subject : '';
}

/**
 * What a token says, if one of our keys signed it, it is for us and it is its time; else why it is not. Keys come from
 * `findKeys` alone: what the header brings along (`jwk`, `jku`, `x5c`, `x5u`) proves nothing.
 * @throws what `findKeys` throws, and nothing else.
 */
export async function verifyToken(
  token: string,
  findKeys: FindKeys,
  { algorithms, now, ...options }: VerificationOptions,
): Promise<JWTVerifyResult | LoginProblem> {
  const header = attempt(token, decodeProtectedHeader);
  if (typeof header?.alg !== 'string' || !algorithms.includes(header.alg)) return 'malformed';
  const settings = { requiredClaims: ['exp'], ...options, algorithms: [...algorithms], currentDate: new Date(now) };
  const keys = await findKeys(header);
  for (const key of keys) {
    try {
      return await jwtVerify(token, key, settings);
    } catch (error) {
      // Another key may have signed it.
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) return problemOf(error);
    }
  }
  return keys.length === 0 ? 'unknown key' : 'wrong signature';
}

function problemOf(error: unknown): LoginProblem {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (!(error instanceof errors.JWTClaimValidationFailed)) return 'malformed';
  const { claim, reason } = error;
  if (claim === 'aud') return 'wrong audience';
  if (claim === 'iss') return 'unknown issuer';
  return claim === 'nbf' && reason === 'check_failed' ? 'not yet valid' : 'malformed';
}

function attempt<T>(token: string, decode: (token: string) => T): T | undefined {
  if (token.length > maxTokenChars) return undefined;
  try {
    return decode(token);
  } catch {
    return undefined;
  }
}
