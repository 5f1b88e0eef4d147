/** Quotas: limits on the total size of images, and the sizes that count towards them. */
import type { ImageKey } from './images.js';
import type { Actor } from './journal.js';

/** Sizes of groups of images. Part of the index. */
export interface ImageSizes {
  /**
   * Returns the total size of the images of local repositories whose `repository/image` matches one of the patterns. A
   * digest counts once in each image; the trash does not count. Agrees with the precondition `usage`.
   */
  total(names: readonly string[]): Promise<number>;
}

/** The reason why a precondition `usage` did not hold. */
export interface ExceededUsage {
  readonly names: readonly string[];
  readonly maxBytes: number;
  /** The size without the write. */
  readonly usedBytes: number;
  /** The increase that the write would have caused. */
  readonly neededBytes: number;
}

/** A limit on the total size of images. */
export interface Quota {
  /** For people: the repository, or the patterns. */
  readonly name: string;
  /** Patterns of `repository/image`. */
  readonly names: readonly string[];
  readonly maxBytes: number;
  /** `repository`: the option `maxBytes` of a repository. */
  readonly origin: 'repository' | 'declared' | 'managed';
}

/** A quota and how much of it is used, which is more than `maxBytes` after the quota was lowered. */
export interface QuotaStatus extends Quota {
  readonly usedBytes: number;
}

/** The quotas of the registry, as the management API shows and changes them. */
export interface QuotaAdministration {
  /** Lists the quotas of repositories, then declared ones, then managed ones. */
  list(): Promise<readonly QuotaStatus[]>;
  /** Lists the quotas that an image counts towards, in the same order. */
  limiting(at: ImageKey): Promise<readonly QuotaStatus[]>;
  /** Replaces the managed quotas. @throws RegistryError OPTIONS_INVALID for names of a declared quota. */
  replace(quotas: readonly Pick<Quota, 'names' | 'maxBytes'>[], by: Actor): Promise<void>;
}
