// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.

/** Copies images from another registry on a schedule. */
export interface SyncOptions {
  /** The name of the sync. */
  readonly name: string;
  /** The remote repository whose upstream is copied. */
  readonly from: string;
  /** The local repository that receives the images, under the same names. */
  readonly to: string;
  /**
   * Which images to copy: names, or patterns such as `['team/**']`. A pattern with `*` needs an upstream that lists
   * its images; many do not.
   */
  readonly images: readonly string[];
  /**
   * Which tags to copy: patterns such as `['v*']`.
   * @default all
   */
  readonly tags?: readonly string[];
  /**
   * Instead of `tags`: a range of versions, as npm writes them: `'>=1.2 <3'`. A tag matches if it is a whole version,
   * such as `1.2.3` or `v1.2.3`.
   * @default all tags
   */
  readonly semver?: string;
  /**
   * Which platforms of an index to copy: `['linux/amd64', 'linux/arm/v7']`. `linux/arm` includes all its variants.
   * The index keeps its digest, and still names the other platforms. Needs `sparse` at `to`.
   * @default all
   */
  readonly platforms?: readonly string[];
  /**
   * Whether to copy signatures, attestations and SBOMs of the copied manifests.
   * @default false
   */
  readonly referrers?: boolean;
  /**
   * How often to run. `0`: only on request.
   * @default 86400
   */
  readonly everySeconds?: number;
  /**
   * Whether to delete tags in `to` that match `images` and `tags` and that the upstream reports as absent. If the
   * upstream fails, nothing is deleted.
   * @default false
   */
  readonly delete?: boolean;
}
