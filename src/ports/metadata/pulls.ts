/** The times and counts of pulls of manifests. */
import type { Digest } from '../../protocol/digest.js';
import type { ImageKey } from './images.js';

/** The pulls of a manifest: GET requests that sent it. Accurate to about a minute; a crash loses the last minute. */
export interface PullRecord {
  readonly digest: Digest;
  readonly lastAt: number;
  /** All pulls since the manifest was pushed. */
  readonly total: number;
  /** Pulls of the last 30 days on which there were any, oldest first. A day is the number of days since the epoch, UTC. */
  readonly days: readonly { readonly day: number; readonly count: number }[];
}

/** The counts of pulls. Part of the index. */
export interface Pulls {
  get(at: ImageKey, digest: Digest): Promise<PullRecord | undefined>;
  /** Returns the records of all manifests of an image that were pulled, in byte order of the digest. */
  list(at: ImageKey): Promise<readonly PullRecord[]>;
}
