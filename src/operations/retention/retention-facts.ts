import type { ImageKey, ManifestRecord } from '../../ports/metadata/images.js';
import type { ImageRecords, MetadataStore } from '../../ports/metadata/metadata.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { readAll } from '../../util/pages.js';
import type { ImageFacts } from './retention-rules.js';

const pageSize = 1000;

export type FactsSource = ImageRecords & Pick<MetadataStore, 'journal' | 'pulls' | 'inventory'>;

/** Reads the facts about an image that a policy needs. */
export async function readFacts(
  metadata: FactsSource,
  config: LocalRepositoryConfig,
  at: ImageKey,
): Promise<ImageFacts> {
  const tags = await readAll(
    (page) => metadata.tags(at, page),
    ({ name }) => name,
    pageSize,
  );
  const manifests = await readAll(
    (page) => metadata.inventory.manifests(at, page),
    ({ digest }) => digest,
    pageSize,
  );
  const pulledAt = new Map((await metadata.pulls.list(at)).map(({ digest, lastAt }) => [digest, lastAt]));
  const untaggedAt = await metadata.journal.losses(at);
  return {
    tags: tags.map(({ name, digest, updatedAt }) => ({
      name,
      digest,
      pushedAt: updatedAt,
      pulledAt: pulledAt.get(digest),
      immutable: immutablePatternOf(config, name),
    })),
    manifests: manifests.map(({ digest, pushedAt, size, references, subject }: ManifestRecord) => ({
      digest,
      lastUsedAt: Math.max(pushedAt, pulledAt.get(digest) ?? 0, untaggedAt.get(digest) ?? 0),
      bytes: size,
      references,
      subject,
    })),
  };
}
