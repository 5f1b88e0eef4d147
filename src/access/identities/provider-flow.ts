import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const secretPattern = /^([0-9a-z]{1,12})\.[A-Za-z0-9_-]{43}$/;
/** The time for a login at the provider. */
const maxAgeMs = 10 * 60_000;

/** The values that protect one login at a provider. All are derived from a secret that only the browser keeps. */
export interface Flow {
  readonly secret: string;
  /** Ties the callback to the browser (RFC 6749, section 10.12). */
  readonly state: string;
  /** Ties the identity token to the login (OpenID Connect Core 1.0, section 3.1.2.1). */
  readonly nonce: string;
  /** Ties the code to the login (RFC 7636). */
  readonly verifier: string;
}

/** Begins a login at a provider. */
export function beginFlow(provider: string, now: number): Flow {
  return deriveFlow(provider, `${now.toString(36)}.${randomBytes(32).toString('base64url')}`);
}

/** Returns the flow of a secret; `undefined` if there is none, or it is older than ten minutes. */
export function resumeFlow(provider: string, secret: string | undefined, now: number): Flow | undefined {
  const beganAt = Number.parseInt(secretPattern.exec(secret ?? '')?.[1] ?? '', 36);
  if (secret === undefined || !(now - beganAt <= maxAgeMs) || beganAt > now) return undefined;
  return deriveFlow(provider, secret);
}

/** Returns whether a callback has the state of the flow. */
export function hasState({ state }: Flow, given: string | null): boolean {
  const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
  return given !== null && timingSafeEqual(sha256(state), sha256(given));
}

/** Returns the `code_challenge` of a flow: `S256`. */
export function challengeOf({ verifier }: Flow): string {
  return createHash('sha256').update(verifier).digest('base64url');
}

function deriveFlow(provider: string, secret: string): Flow {
  const derive = (label: string): string =>
    createHmac('sha256', secret).update(`${label} ${provider}`).digest('base64url');
  return { secret, state: derive('state'), nonce: derive('nonce'), verifier: derive('verifier') };
}
