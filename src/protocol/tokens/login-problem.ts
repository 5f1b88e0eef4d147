/** Why somebody was not let in. For operators: clients get the same answer for all of them. */
export type LoginProblem =
  /** Neither a name with a password nor a token that can be read. */
  | 'malformed'
  | 'unknown user'
  | 'wrong password'
  /** The token belongs to an account of another name. */
  | 'wrong name'
  | 'disabled'
  | 'expired'
  /** Good once: the account, its token or the password has changed since. */
  | 'revoked'
  | 'not yet valid'
  | 'unknown issuer'
  | 'unknown key'
  | 'wrong signature'
  | 'wrong audience'
  | 'claim mismatch'
  /** After too many wrong passwords, or while too many logins wait. */
  | 'throttled';

/** A refused login, without its password or token. */
export interface RefusedLogin {
  readonly reason: LoginProblem;
  /** The name that was tried: of a token, what it says itself. Control characters are escaped; at most 200 characters. */
  readonly username: string;
  readonly via: 'basic' | 'bearer' | 'refresh token';
}

const maxNameChars = 200;

/** A name as it may be logged: clients choose it freely, and put tokens into it by mistake. */
export function shownName(name: string): string {
  return (
    name
      .slice(0, maxNameChars)
      .replace(/(aat_[a-f0-9]{0,16})\S*/g, '$1…')
      .replace(/eyJ\S*/g, 'eyJ…')
      // Controls, and what hides or turns around the text beside it.
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`)
      .slice(0, maxNameChars)
  );
}
