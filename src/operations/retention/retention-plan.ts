import type { ImageKey } from '../../ports/metadata/images.js';
import { matchesAny } from '../../protocol/patterns.js';
import type { LocalRepositoryConfig, RepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { RetentionPolicy } from '../../protocol/settings/retention-config.js';
import { readFacts, type FactsSource } from './retention-facts.js';
import { decide, type Doomed, type ImageFacts } from './retention-rules.js';
import { itemsOf } from '../../util/pages.js';

const pageSize = 500;

/** The planned deletions of one image. */
export interface ImagePlan {
  readonly at: ImageKey;
  readonly doomed: readonly Doomed[];
  /** The policy would delete more of its tags than it may without a confirmation. */
  readonly isLarge: boolean;
  /** The size of the content that only the doomed manifests of the image need. */
  readonly bytes: number;
}

export interface PlanRequest {
  readonly policies: readonly RetentionPolicy[];
  /** The repositories that are served. */
  readonly repositories: readonly RepositoryConfig[];
  /** Only images that one of these patterns matches. */
  readonly names?: readonly string[] | undefined;
  readonly now: number;
  readonly signal: AbortSignal;
  readonly onImage: (images: number) => void;
}

/** Plans the deletions of the policies in all local repositories. Only reads. */
export async function planRetention(
  metadata: FactsSource,
  { policies, repositories, names, now, signal, onImage }: PlanRequest,
): Promise<readonly ImagePlan[]> {
  const plans: ImagePlan[] = [];
  let images = 0;
  for (const config of repositories) {
    if (!isLocal(config)) continue;
    for await (const at of listImages(metadata, config.name)) {
      signal.throwIfAborted();
      onImage((images += 1));
      const name = `${at.repository}/${at.image}`;
      const policy = policyFor(policies, at);
      if (policy === undefined || (names !== undefined && !matchesAny(names, name))) continue;
      const facts = await readFacts(metadata, config, at);
      const { doomed, share } = decide(policy, facts, now);
      if (doomed.length === 0) continue;
      const bytes = await measure(metadata, at, facts, doomed);
      plans.push({ at, doomed, isLarge: share > policy.maxShare, bytes });
    }
  }
  return plans;
}

/** Returns the policy that applies to an image. */
export function policyFor(policies: readonly RetentionPolicy[], at: ImageKey): RetentionPolicy | undefined {
  return policies.find((one) => matchesAny(one.names, `${at.repository}/${at.image}`));
}

/** Returns whether a repository has a retention. */
export function isLocal(config: RepositoryConfig): config is LocalRepositoryConfig {
  return config.type === 'local';
}

async function* listImages(metadata: FactsSource, repository: string): AsyncGenerator<ImageKey> {
  const images = itemsOf(
    (page) => metadata.images(repository, page),
    ({ image }) => image,
    { limit: pageSize },
  );
  for await (const { image } of images) yield { repository, image };
}

/** Sums the sizes of the deleted manifests and of the blobs that only they name. */
async function measure(
  metadata: FactsSource,
  at: ImageKey,
  { manifests }: ImageFacts,
  doomed: readonly Doomed[],
): Promise<number> {
  const gone = new Set(doomed.filter(({ kind }) => kind === 'manifest').map(({ digest }) => digest));
  const needed = new Set(manifests.filter(({ digest }) => !gone.has(digest)).flatMap(({ references }) => references));
  const freed = new Set<ImageFacts['manifests'][number]['digest']>();
  let bytes = 0;
  for (const manifest of manifests) {
    if (!gone.has(manifest.digest)) continue;
    bytes += manifest.bytes;
    for (const digest of manifest.references) if (!needed.has(digest)) freed.add(digest);
  }
  for (const digest of freed) bytes += (await metadata.link(at, digest))?.size ?? 0;
  return bytes;
}
