import type { ImageKey, ManifestRecord } from '../../ports/images.js';
import type { ImageRecords, MetadataStore, TagRecord } from '../../ports/metadata.js';
import type { Digest } from '../../protocol/digest.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { ImageFacts } from './retention-rules.js';

const pageSize = 1000;
/** Moves of each tag that are examined for manifests that lost it. */
const maxMoves = 100;

export type FactsSource = ImageRecords & Pick<MetadataStore, 'journal' | 'pulls' | 'inventory'>;

/** Reads what a policy needs to know about an image. */
export async function readFacts(
  metadata: FactsSource,
  config: LocalRepositoryConfig,
  at: ImageKey,
): Promise<ImageFacts> {
  const tags = await readAll(
    (page) => metadata.tags(at, page),
    ({ name }) => name,
  );
  const manifests = await readAll(
    (page) => metadata.inventory.manifests(at, page),
    ({ digest }) => digest,
  );
  const pulledAt = new Map((await metadata.pulls.list(at)).map(({ digest, lastAt }) => [digest, lastAt]));
  const untaggedAt = await readLosses(metadata, at, tags);
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

/** Returns when a manifest last lost a tag that still exists. Deleted tags are not looked up. */
async function readLosses(
  metadata: FactsSource,
  at: ImageKey,
  tags: readonly TagRecord[],
): Promise<ReadonlyMap<Digest, number>> {
  const losses = new Map<Digest, number>();
  for (const { name } of tags) {
    for (const { was, at: when } of await metadata.journal.moves(at, name, { limit: maxMoves })) {
      if (was !== undefined) losses.set(was, Math.max(losses.get(was) ?? 0, when));
    }
  }
  return losses;
}

async function readAll<T>(
  read: (page: { limit: number; after?: string }) => Promise<{ readonly items: readonly T[]; readonly more: boolean }>,
  keyOf: (item: T) => string,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const last = all.at(-1);
    const { items, more } = await read({ limit: pageSize, ...(last === undefined ? {} : { after: keyOf(last) }) });
    all.push(...items);
    if (!more || items.length === 0) return all;
  }
}
