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

/** Returns the public keys that may have signed a token with this header. @throws when the keys cannot be obtained. */
export type FindKeys = (header: ProtectedHeaderParameters) => Promise<readonly CryptoKey[]>;

/** Asymmetric algorithms only: not `none`, and none with a shared secret. */
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
/** How far the clock of another server may be off. */
export const foreignLeewaySeconds = 60;
/** The rules by which tokens of external issuers are verified. */
export const foreignRules = { algorithms: foreignAlgorithms, clockTolerance: foreignLeewaySeconds } as const;
const maxTokenChars = 16 * 1024;

/** The algorithms and claims that a token must have, and the time in milliseconds since the epoch. */
export interface VerificationOptions extends Omit<JWTVerifyOptions, 'algorithms' | 'currentDate'> {
  readonly algorithms: readonly string[];
  readonly now: number;
}

/** Returns the issuer that a token claims, unverified; `undefined` if it is not a JWT or too long. */
export function readIssuer(token: string): string | undefined {
  return attempt(token, decodeJwt)?.iss;
}

/** Returns the subject that a token claims, unverified, for the log. */
export function readSubject(token: string): string {
  const subject: unknown = attempt(token, decodeJwt)?.sub;
  return typeof subject === 'string' ? subject : '';
}

/**
 * Verifies the signature, the issuer, the audience and the times of a token. Returns its content, or why it is refused. Keys
 * come only from `findKeys`; those that the header brings (`jwk`, `jku`, `x5c`, `x5u`) prove nothing.
 * @throws only what `findKeys` throws.
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
