/** Records when cached content was last requested. */
import type { Digest } from '../../../protocol/digest.js';
import type { CacheItem } from '../../../ports/metadata/metadata.js';
import type { LevelIndex } from '../level-index.js';
import { linkKey, manifestKey, rangeEnd, type Place, type RepositoryId } from '../level-keys.js';
import { oldestKey, oldestPrefix, parseOldestKey, touchedKey, wholeTime } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';

/**
 * Sets the access time of content of the image, but never to an earlier one. An unchanged time is written again with
 * both of its keys: this write may be durable while the first one has not reached the disk yet.
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

/**
 * Removes the access time after a link or a manifest was removed, unless the image still holds the digest in the other
 * form.
 */
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
 * Returns a page of the least recently used content. A digest that is both a link and a manifest of the image is one
 * item, the manifest: its size counts once, as in the record of the image, and it is listed as a link once only the
 * manifest is deleted.
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
    // Skips content that was deleted since the scan began.
    return link && { kind: 'link', size: link.size, ...rest };
  });
}
