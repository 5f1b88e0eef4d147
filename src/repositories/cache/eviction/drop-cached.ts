import type {
  CacheItem,
  Change,
  ImageRecords,
  MetadataWriter,
  Precondition,
} from '../../../ports/metadata/metadata.js';

/** An item of a cache, with or without an access time. */
export type CachedContent = Omit<CacheItem, 'touchedAt'>;

export interface DropConditions {
  /** Called right before the write. Items in use are skipped. */
  readonly isInUse?: (item: CachedContent) => boolean;
  /** Skips items that a manifest of the image names. */
  readonly unnamed?: boolean;
}

interface Drop {
  readonly item: CachedContent;
  readonly changes: readonly Change[];
  readonly require: readonly Precondition[];
}

/**
 * The time of the resulting candidates: old enough for the next collection to delete the bytes. The grace period
 * protects clients that push and will soon name a blob reported as present; no one pushes to a cache, and a missing
 * blob is fetched again. Bytes with another reference stay, and bytes being published are linked before the collector
 * gets their digest's lock.
 */
const longAgo = 0;

/**
 * Drops references of a cache: links, and manifests with their tags. A digest that is both loses both. Skips items that
 * changed since they were read or are in use. Writes durably, because the bytes may be deleted next. Returns the
 * dropped items.
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
  // One of them changed: drop each on its own. Concurrent writes share a sync.
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
    // A link that was created again has another time.
    { type: 'link', at, digest, is: link === undefined ? 'absent' : { linkedAt: link.linkedAt } },
    ...(unnamed ? [{ type: 'unnamed', at, digest } as const] : []),
  ];
  return { item, changes, require };
}

function applyAll(metadata: MetadataWriter, drops: readonly Drop[]): Promise<boolean> {
  const changes = drops.flatMap((drop) => drop.changes);
  return metadata.tryApply(changes, { durable: true, require: drops.flatMap((drop) => drop.require) });
}
