/** The total size of stored content: of every digest that an image held, until its bytes are deleted. */
import type { StoredBytes } from '../../../ports/operations/inventory.js';
import type { Digest } from '../../../protocol/digest.js';
import type { LevelIndex } from '../level-index.js';
import {
  allHoldersPrefix,
  linkKey,
  manifestKey,
  parseHolderKey,
  rangeEnd,
  storedKey,
  storedTotalKey,
  type StoredTotal,
} from '../level-keys.js';
import type { LevelView } from '../level-view.js';

/** Holders that one step of counting reads. */
const maxHoldersPerStep = 1000;
const nothing: StoredTotal = { bytes: 0, countedTo: '' };

/**
 * Counts content when an image gets it. Writes both keys again for content that is counted already: this write may be
 * durable while the first one has not reached the disk yet.
 */
export function noteStored(view: LevelView, digest: Digest, size: number): void {
  const total = view.get(storedTotalKey) ?? nothing;
  const known = view.get(storedKey(digest));
  view.put(storedKey(digest), known ?? size);
  view.put(storedTotalKey, known === undefined ? { ...total, bytes: total.bytes + size } : total);
}

/** Stops counting content whose bytes are deleted. */
export function forgetStored(view: LevelView, digest: Digest): void {
  const known = view.get(storedKey(digest));
  if (known === undefined) return;
  const total = view.get(storedTotalKey) ?? nothing;
  view.delete(storedKey(digest));
  view.put(storedTotalKey, { ...total, bytes: Math.max(0, total.bytes - known) });
}

/** Returns the total. */
export function readStored(index: LevelIndex): StoredBytes {
  const { bytes, countedTo } = index.get(storedTotalKey) ?? nothing;
  return { bytes, isComplete: countedTo === undefined };
}

/**
 * Counts the next part of the content that an older release stored: content with a holder but without a size. Runs in
 * the writer, so that no other write comes between its reads and its write.
 */
export async function countNext(index: LevelIndex, view: LevelView): Promise<void> {
  const { countedTo } = view.get(storedTotalKey) ?? nothing;
  if (countedTo === undefined) return;
  const range = {
    gt: countedTo === '' ? allHoldersPrefix : `${allHoldersPrefix}${countedTo}\x01`,
    lt: rangeEnd(allHoldersPrefix),
  };
  const holders = await index.scanKeys(range, maxHoldersPerStep, parseHolderKey);
  for (const { digest, place } of holders) {
    if (view.get(storedKey(digest)) !== undefined) continue;
    const held = view.get(manifestKey(place, digest)) ?? view.get(linkKey(place, digest));
    if (held !== undefined) noteStored(view, digest, held.size);
  }
  const { bytes } = view.get(storedTotalKey) ?? nothing;
  const last = holders.at(-1)?.digest;
  const isOver = last === undefined || holders.length < maxHoldersPerStep;
  view.put(storedTotalKey, isOver ? { bytes } : { bytes, countedTo: last });
}
