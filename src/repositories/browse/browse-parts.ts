import type { BlobStore } from '../../ports/bytes.js';
import type { PullFigures } from '../../protocol/manifests/browsed-images.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { PullRecord } from '../../ports/metadata/pulls.js';
import type { Caller, Repository } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';

/** The parts of the registry that browsing uses. */
export interface BrowseParts {
  readonly metadata: Pick<
    MetadataStore,
    'image' | 'images' | 'tag' | 'tags' | 'manifest' | 'link' | 'referrers' | 'imagesLinking' | 'isNamed'
  > &
    Pick<MetadataStore, 'inventory' | 'journal' | 'pulls'>;
  readonly blobs: BlobStore;
  readonly runtime: Pick<Runtime, 'now'>;
}

const dayMs = 24 * 3_600_000;
/** The number of days that count as recent. */
const recentDays = 30;

/** Sums the pulls of manifests. */
export function sumPulls(records: readonly PullRecord[], now: number): PullFigures {
  const firstDay = Math.floor(now / dayMs) - recentDays + 1;
  const pulledAt = records.reduce((latest, { lastAt }) => Math.max(latest, lastAt), 0);
  const recent = records.flatMap(({ days }) => days.filter(({ day }) => day >= firstDay));
  return {
    ...(pulledAt === 0 ? {} : { pulledAt }),
    pulls: records.reduce((sum, { total }) => sum + total, 0),
    recentPulls: recent.reduce((sum, { count }) => sum + count, 0),
  };
}

/** A repository that stores an image, and the name of the image there. */
export interface Holder {
  readonly repository: Repository;
  readonly at: ImageKey;
  /** Set for a member of a virtual repository. */
  readonly member?: string;
}

/**
 * Returns the repositories behind a name that store the image: itself, or the members that the caller may pull from.
 */
export async function findHolders(
  { metadata }: BrowseParts,
  caller: Caller,
  repository: Repository,
  image: string,
): Promise<readonly Holder[]> {
  const members = await repository.members?.(caller, image);
  const holders: Holder[] = [];
  for (const one of members ?? [repository]) {
    const { name } = one.config;
    const at = { repository: name, image: one.canonicalImage(image) };
    if (((await metadata.image(at))?.manifests ?? 0) === 0) continue;
    holders.push({ repository: one, at, ...(members === undefined ? {} : { member: name }) });
  }
  return holders;
}
