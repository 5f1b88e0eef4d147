/** Why a login was refused. For operators only: clients always get the same response. */
export type LoginProblem =
  /** Neither a name with a password nor a readable token. */
  | 'malformed'
  | 'unknown user'
  | 'wrong password'
  /** The token belongs to a different account. */
  | 'wrong name'
  | 'disabled'
  | 'expired'
  /** No longer valid: the account, its token or the password has changed. */
  | 'revoked'
  | 'not yet valid'
  | 'unknown issuer'
  | 'unknown key'
  | 'wrong signature'
  | 'wrong audience'
  | 'claim mismatch'
  /** The callback of a provider does not belong to a login that this browser began. */
  | 'wrong state'
  | 'wrong nonce'
  /** The callback of a provider was used before. */
  | 'replayed'
  /** The provider did not log the user in, or did not accept the code. */
  | 'refused by the provider'
  | 'unverified e-mail'
  /** A user of another source has the name. */
  | 'name taken'
  /** Too many wrong passwords, or too many logins in progress. */
  | 'throttled';

/** A refused login, without its password or token. */
export interface RefusedLogin {
  readonly reason: LoginProblem;
  /** The name in the credentials or the token, with control characters escaped. At most 200 characters. */
  readonly username: string;
  readonly via: 'basic' | 'bearer' | 'refresh token' | 'oidc';
}

const maxNameChars = 200;

/** Returns a name that is safe to log. Clients choose names freely and sometimes send a token as the name. */
export function shownName(name: string): string {
  return (
    name
      .slice(0, maxNameChars)
      .replace(/(aat_[a-f0-9]{0,16})\S*/g, '$1…')
      .replace(/eyJ\S*/g, 'eyJ…')
      // Control characters, and characters that hide or reverse the text next to them.
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`)
      .slice(0, maxNameChars)
  );
}
