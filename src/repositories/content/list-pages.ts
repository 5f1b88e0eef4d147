import type { ImageRecords } from '../../ports/metadata/metadata.js';
import type { ImageKey, ReferrerPageRequest, Referrer, ManifestRecord } from '../../ports/metadata/images.js';
import type { Listed } from '../../ports/repository.js';
import type { PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';

interface SeenPage<T> extends Listed<T> {
  readonly seenTo?: string;
}

/**
 * Merges the same page of several members, in byte order of `nameOf`. For each name, takes the item of the first member
 * that has it. A member with more items says nothing about names after the last one in its page, so the merged page
 * ends there.
 */
export function mergePages<T>(pages: readonly SeenPage<T>[], limit: number, nameOf: (item: T) => string): SeenPage<T> {
  const ends = pages.filter(({ more }) => more).map(({ items, seenTo }) => seenTo ?? lastOf(items, nameOf));
  const horizon = ends.reduce<string | undefined>(
    (least, end) => (least === undefined || end < least ? end : least),
    undefined,
  );
  const merged = new Map<string, T>();
  for (const { items } of pages) {
    for (const item of items) {
      const name = nameOf(item);
      if (!merged.has(name) && (horizon === undefined || name <= horizon)) merged.set(name, item);
    }
  }
  const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
  const more = horizon !== undefined || sorted.length > limit;
  const stale = pages.find(({ provenance }) => provenance?.cache === 'stale')?.provenance;
  // A short page ends at the last name that one member examined.
  const isShort = horizon !== undefined && sorted.length < limit;
  const page = { items: sorted.slice(0, limit), more, ...(isShort ? { seenTo: horizon } : {}) };
  return stale === undefined ? page : { ...page, provenance: stale };
}

function lastOf<T>(items: readonly T[], nameOf: (item: T) => string): string {
  const last = items.at(-1);
  return last === undefined ? '' : nameOf(last);
}

/** The number of manifests read from the index at a time: their annotations may be large. */
const referrerPartSize = 16;

/** Limits a page of referrers to `maxBytes`, but keeps at least one item. */
export function cutByBytes(page: Listed<Referrer>, { maxBytes = Infinity }: ReferrerPageRequest): Listed<Referrer> {
  let bytes = 0;
  const end = page.items.findIndex((item, at) => {
    bytes += weightOf(item);
    return at > 0 && bytes > maxBytes;
  });
  return end < 0 ? page : { ...page, items: page.items.slice(0, end), more: true };
}

/** Reads a page of referrers from the index. Does not hold more of them in memory than requested. */
export async function collectReferrers(
  metadata: ImageRecords,
  at: ImageKey,
  subject: Digest,
  { limit, after, maxBytes = Infinity }: ReferrerPageRequest,
): Promise<Listed<Referrer>> {
  const items: Referrer[] = [];
  let bytes = 0;
  for (;;) {
    const last = items.at(-1)?.digest ?? after;
    const wanted = Math.min(limit - items.length, referrerPartSize);
    const part = await metadata.referrers(at, subject, {
      limit: wanted,
      ...(last === undefined ? {} : { after: last }),
    });
    for (const record of part.items) {
      const item = describeReferrer(record);
      bytes += weightOf(item);
      if (bytes > maxBytes && items.length > 0) return { items, more: true };
      items.push(item);
    }
    if (!part.more || items.length >= limit) return { items, more: part.more };
  }
}

function describeReferrer({ mediaType, digest, size, artifactType, annotations }: ManifestRecord): Referrer {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** Returns the size of a descriptor as JSON. */
function weightOf(item: Referrer): number {
  return Buffer.byteLength(JSON.stringify(item));
}

/** Returns a page of a list that is sorted by name. The cost depends on the page, not on the length of the list. */
export function sliceSorted<T>(
  sorted: readonly T[],
  { limit, after }: PageRequest,
  nameOf: (item: T) => string,
): Listed<T> {
  const start = after === undefined ? 0 : countUpTo(sorted, after, nameOf);
  return { items: sorted.slice(start, start + limit), more: sorted.length > start + limit };
}

/** Returns how many items have this name or an earlier one (binary search). */
function countUpTo<T>(sorted: readonly T[], name: string, nameOf: (item: T) => string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = sorted[middle];
    if (item !== undefined && nameOf(item) <= name) low = middle + 1;
    else high = middle;
  }
  return low;
}
