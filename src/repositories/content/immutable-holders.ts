import type { ImageKey } from '../../ports/metadata/images.js';
import type { Inventory } from '../../ports/operations/inventory.js';
import type { Precondition } from '../../ports/metadata/metadata.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { RepositoryConfig } from '../../protocol/settings/repository-config.js';
import { takeTurns } from '../../util/scheduling/turns.js';
import { hasImmutableTags } from './tag-guards.js';

/**
 * Refuses to delete a manifest or blob that an immutable tag needs: directly, or as a part of an image or index. Returns
 * the preconditions that keep this true until the write; none in a repository without immutable tags.
 * @throws RegistryError DENIED that names the tag.
 */
export async function keepImmutableContent(
  inventory: Pick<Inventory, 'holders'>,
  config: RepositoryConfig,
  image: string,
  digest: Digest,
): Promise<readonly Precondition[]> {
  if (!hasImmutableTags(config)) return [];
  const at: ImageKey = { repository: config.name, image };
  const require: Precondition[] = [];
  const turn = takeTurns();
  // The loop adds to the set that it iterates over.
  const found = new Set([digest]);
  for (const holder of found) {
    await turn();
    const are = await inventory.holders(at, holder);
    for (const tag of are.tags) {
      const pattern = immutablePatternOf(config, tag);
      if (pattern === undefined) continue;
      const what = holder === digest ? 'names it' : `needs it as a part of ${holder}`;
      throw new RegistryError('DENIED', {
        message: `${digest} cannot be deleted: tag "${tag}" of "${config.name}/${image}" ${what} and is immutable (pattern "${pattern}")`,
        detail: { tag, digest: holder, pattern },
      });
    }
    require.push({ type: 'holders', at, digest: holder, are });
    for (const parent of are.namedBy) found.add(parent);
  }
  return require;
}
