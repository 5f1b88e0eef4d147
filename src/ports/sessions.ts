/** The browser that logs in. */
export interface SessionClient {
  readonly address: string;
  /** Its `User-Agent`. */
  readonly agent?: string | undefined;
}

/** A login to the web UI, without its secret. */
export interface Session extends SessionClient {
  /** The SHA-256 of its value, in hexadecimal. */
  readonly id: string;
  readonly user: string;
  /** Who checked the login: the kind of an identity source. */
  readonly source: string;
  readonly createdAt: number;
  /** When it was last used, to the minute. */
  readonly seenAt: number;
  /** Whether the request that lists the sessions has it. */
  readonly isCurrent: boolean;
}
