import type { CacheItem, Change, ImageRecords, MetadataWriter, Precondition } from '../../../ports/metadata.js';

/** What a cache holds, be it known when it was touched or not. */
export type CachedContent = Omit<CacheItem, 'touchedAt'>;

export interface DropConditions {
  /** Asked right before the write: what is in use is passed over. */
  readonly isInUse?: (item: CachedContent) => boolean;
  /** Pass over what a manifest of the image names. */
  readonly unnamed?: boolean;
}

interface Drop {
  readonly item: CachedContent;
  readonly changes: readonly Change[];
  readonly require: readonly Precondition[];
}

/**
 * The candidates that this leaves are as old as can be, so that the next collection takes the bytes at once. The grace
 * period is for clients that push: they were told that a blob is present, and will name it soon. Nobody pushes to a cache,
 * and whoever misses there what is gone has it fetched again. Bytes that anything else refers to stay all the same, and
 * bytes that are being published are linked before the collector can take their digest's lock.
 */
const longAgo = 0;

/**
 * Ends references of a cache: manifests with their tags, and links. A digest that is both goes as both. What changed since
 * it was looked at is passed over, as is what changed or is in use. Returns what was dropped; durably, for its bytes may go.
 */
export async function dropCached(
  metadata: ImageRecords & MetadataWriter,
  items: readonly CachedContent[],
  { isInUse = () => false, unnamed = false }: DropConditions = {},
): Promise<readonly CachedContent[]> {
  const looked = await Promise.all(items.map((item) => lookAt(metadata, item, unnamed)));
  const drops = looked.filter(({ item }) => !isInUse(item));
  if (drops.length === 0) return [];
  if (await applyAll(metadata, drops)) return drops.map(({ item }) => item);
  // One of them changed: each for itself. They are asked for together, and share a flush.
  const outcomes = await Promise.all(drops.map((drop) => applyAll(metadata, [drop])));
  return drops.filter((_drop, index) => outcomes[index] === true).map(({ item }) => item);
}

async function lookAt(metadata: ImageRecords, item: CachedContent, unnamed: boolean): Promise<Drop> {
  const { kind, at, digest } = item;
  const link = await metadata.link(at, digest);
  const changes: Change[] = [];
  if (kind === 'manifest') changes.push({ type: 'manifest.delete', at, digest, when: longAgo });
  if (link !== undefined) changes.push({ type: 'blob.unlink', at, digest, when: longAgo });
  const require: Precondition[] = [
    { type: 'manifest', at, digest, is: kind === 'manifest' ? 'present' : 'absent' },
    // A link that was made again has another time.
    { type: 'link', at, digest, is: link === undefined ? 'absent' : { linkedAt: link.linkedAt } },
    ...(unnamed ? [{ type: 'unnamed', at, digest } as const] : []),
  ];
  return { item, changes, require };
}

function applyAll(metadata: MetadataWriter, drops: readonly Drop[]): Promise<boolean> {
  const changes = drops.flatMap((drop) => drop.changes);
  return metadata.tryApply(changes, { durable: true, require: drops.flatMap((drop) => drop.require) });
}
