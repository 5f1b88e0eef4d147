/** When what a cache holds was last asked for. */
import type { Digest } from '../../protocol/digest.js';
import type { CacheItem } from '../../ports/metadata.js';
import type { LevelIndex } from './level-index.js';
import {
  linkKey,
  manifestKey,
  oldestKey,
  oldestPrefix,
  parseOldestKey,
  rangeEnd,
  touchedKey,
  wholeTime,
  type Place,
  type RepositoryId,
} from './level-keys.js';
import type { LevelView } from './level-view.js';

/**
 * Notes a time for what the image holds, never an earlier one than it has. One that is the same is written again, with both
 * its keys: its first write may not be on the disk yet, and this one may have to be.
 */
export function touch(view: LevelView, place: Place, digests: readonly Digest[], when: number): void {
  const whole = wholeTime(when);
  for (const digest of digests) {
    if (!isHeld(view, place, digest)) continue;
    const key = touchedKey(place, digest);
    const before = view.get(key);
    const latest = Math.max(before ?? whole, whole);
    if (before !== undefined) view.delete(oldestKey(place, digest, before));
    view.put(key, latest);
    view.put(oldestKey(place, digest, latest), '');
  }
}

/** After a link or a manifest went: its time goes too, unless the image still holds the digest as the other. */
export function forgetTouch(view: LevelView, place: Place, digest: Digest): void {
  const key = touchedKey(place, digest);
  const touchedAt = view.get(key);
  if (touchedAt === undefined || isHeld(view, place, digest)) return;
  view.delete(key);
  view.delete(oldestKey(place, digest, touchedAt));
}

function isHeld(view: LevelView, place: Place, digest: Digest): boolean {
  return view.get(linkKey(place, digest)) !== undefined || view.get(manifestKey(place, digest)) !== undefined;
}

/**
 * A page of what was touched longest ago. A digest that is a link and a manifest of the image is one item, the manifest: it
 * weighs once, as in the image's record, and is seen as a link when the manifest alone is deleted.
 */
export function readOldest(
  index: LevelIndex,
  id: RepositoryId,
  repository: string,
  { limit, after }: { readonly limit: number; readonly after?: CacheItem },
): Promise<CacheItem[]> {
  const prefix = oldestPrefix(id);
  const gt = after === undefined ? prefix : oldestKey({ id, image: after.at.image }, after.digest, after.touchedAt);
  return index.scan({ gt, lt: rangeEnd(prefix) }, limit, (key): CacheItem | undefined => {
    const { place, digest, touchedAt } = parseOldestKey(key);
    const rest = { at: { repository, image: place.image }, digest, touchedAt };
    const manifest = index.get(manifestKey(place, digest));
    if (manifest !== undefined) return { kind: 'manifest', size: manifest.size, ...rest };
    const link = index.get(linkKey(place, digest));
    // One that was deleted since the list was begun is left out.
    return link && { kind: 'link', size: link.size, ...rest };
  });
}
