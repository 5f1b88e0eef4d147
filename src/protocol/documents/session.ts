/** Who uses the web UI, and what it needs to know of the registry. */
export interface SessionDocument {
  /** `null`: nobody logged in. */
  readonly principal: {
    readonly id: string;
    readonly groups: readonly string[];
    /** `basic`, `bearer`, `host`, `session` or `anonymous`. */
    readonly via: string;
  } | null;
  readonly may: {
    /** Administer the whole registry. */
    readonly admin: boolean;
    /** See what goes on in the whole registry. */
    readonly monitor: boolean;
    /** See the images that it may pull. */
    readonly browse: boolean;
  };
  readonly mode: 'open' | 'read-only' | 'rules';
  readonly registry: {
    /** The host that clients use, with its port. */
    readonly host: string;
    readonly secure: boolean;
    /** What precedes `/v2`. */
    readonly prefix: string;
    readonly version: string;
  };
  readonly login: {
    /** Whether a name and a password or token can log in. */
    readonly password: boolean;
    /** Where the host application logs people in. */
    readonly url?: string;
  };
}
