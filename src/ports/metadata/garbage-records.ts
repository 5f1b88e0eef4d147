/** Candidates for garbage collection, and the other records that the collector reads. */
import type { Digest } from '../../protocol/digest.js';
import type { ImageKey } from './images.js';

/**
 * Content that a dropped reference may have left unused, with the time of the drop. `link`: a blob that no manifest of the
 * image names. `bytes`: content that may be unreferenced.
 */
export type Candidate =
  | { readonly kind: 'link'; readonly at: ImageKey; readonly digest: Digest; readonly since: number }
  | { readonly kind: 'bytes'; readonly digest: Digest; readonly since: number };

/** Which candidates to return. */
export interface CandidateOptions {
  /** Skips those up to this candidate, which need not exist any more. */
  readonly after?: Candidate | undefined;
  /**
   * Claims the returned candidates for this time: an index that several processes share does not return them again until
   * then, so that collectors do not examine the same ones. An index of one process ignores it.
   */
  readonly claimMs?: number;
}

/** The part of the index that the garbage collector reads. */
export interface GarbageRecords {
  /**
   * Returns whether a link or manifest record of any image, or its trash, has the digest, not counting links of the
   * excepted images. The content of a deleted repository counts until it is purged.
   */
  isReferenced(digest: Digest, exceptLinksOf?: readonly ImageKey[]): Promise<boolean>;
  /** Returns whether the bytes have a candidate. */
  isCandidate(digest: Digest): Promise<boolean>;
  /**
   * Returns the candidates from before a time, oldest first. Settled ones are gone, so repeating the call pages through
   * them.
   */
  candidates(before: number, limit: number, options?: CandidateOptions): Promise<readonly Candidate[]>;
  /**
   * Returns condemned bytes that were not forgotten, because a collection stopped in between.
   * @param olderThanMs in an index that several processes share, returns only those that were condemned at least this long
   * ago: another process may be deleting newer ones. An index of one process ignores it.
   */
  condemned(olderThanMs?: number): Promise<readonly Digest[]>;
  /**
   * Removes a bounded part of the content of deleted repositories and leaves candidates. Returns true while there is
   * more.
   */
  purge(when: number): Promise<boolean>;
}
