/** The additional methods of an index that several processes share. */

/** An index that other processes read and write too. */
export interface SharedIndex {
  /**
   * Calls a listener after this or another process may have changed documents of some kinds, or (`repository`) the configured
   * repositories: usually at once, at most a second later. Returns a function that removes the listener.
   */
  watch(listener: (kinds: ReadonlySet<string>) => void): () => void;
  /** Resolves when later reads of documents see everything that was written before the call. */
  refresh(): Promise<void>;
  /**
   * Takes a lease for a time, by the clock of the index, or renews one that this process holds. Returns false while another
   * process holds it.
   */
  lease(name: string, ms: number): Promise<boolean>;
  /** Ends a lease of this process early. */
  release(name: string): Promise<void>;
  readonly loginFailures: LoginFailures;
}

/** A counter of failures. One failure decays in `decayMs`; the count stays at most `max`. */
export interface FailureMeter {
  readonly key: string;
  readonly decayMs: number;
  readonly max: number;
}

/** Failed logins, which all processes count together. */
export interface LoginFailures {
  /** Returns the present counts, in the order of the meters. */
  read(meters: readonly FailureMeter[]): Promise<readonly number[]>;
  /** Adds a failure to each. */
  add(meters: readonly FailureMeter[]): Promise<void>;
}
