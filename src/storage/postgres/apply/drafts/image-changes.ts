import type { Digest } from '../../../../protocol/digest.js';
import type { BlobLink, Change } from '../../../../ports/metadata/metadata.js';
import type { PullRecord } from '../../../../ports/metadata/pulls.js';
import { wholeTime } from '../../reads/place.js';
import type { ImageDraft } from './image-draft.js';
import type { RegistryDraft } from './registry-draft.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/** The number of days of pulls that are kept. */
const maxDays = 30;
const dayMs = 24 * 3_600_000;
/** The number of moves that the history of a tag keeps. */
export const maxMoves = 100;

/** Creates a link, which leaves a candidate, or renews the time of an existing one. */
export function linkBlob(image: ImageDraft, registry: RegistryDraft, change: ChangeOf<'blob.link'>): void {
  const { digest, size, when } = change;
  registry.refuseCondemned(digest);
  const before = image.links.get(digest);
  const weight = image.weigh(digest);
  image.links.set(digest, { size: before?.size ?? size, linkedAt: when });
  registry.noteStored(digest, before?.size ?? size);
  const bytes = image.weigh(digest) - weight;
  image.count(before === undefined ? { links: 1, bytes, when } : { bytes });
  if (before === undefined) image.unlinked.delete(digest);
  if (before === undefined) putLinkCandidate(image, digest, when);
}

/** Deletes a link. Leaves a candidate for the bytes, unless the trash keeps them. */
export function unlinkBlob(
  image: ImageDraft,
  registry: RegistryDraft,
  { digest, when }: ChangeOf<'blob.unlink'>,
): void {
  const before = image.links.get(digest);
  if (before === undefined) return;
  const weight = image.weigh(digest);
  image.links.delete(digest);
  image.count({ links: -1, bytes: image.weigh(digest) - weight, when });
  forgetTouch(image, digest);
  image.candidates.delete(digest);
  if (image.isKept(digest)) image.unlinked.set(digest, { size: before.size, linkedAt: before.linkedAt });
  else registry.putCandidate(digest, when);
}

/** Adds a candidate for a link, or moves it to a later time. */
export function putLinkCandidate(image: ImageDraft, digest: Digest, since: number): void {
  image.candidates.set(digest, Math.max(image.candidates.get(digest) ?? 0, wholeTime(since)));
}

/** Replaces a link and updates the size of the image. Returns the bytes by which it grew. */
export function reweighLink(image: ImageDraft, digest: Digest, link: BlobLink): number {
  const weight = image.weigh(digest);
  image.links.set(digest, link);
  const bytes = image.weigh(digest) - weight;
  image.count({ bytes });
  return bytes;
}

/** Sets the access time of content of the image, but never to an earlier one. */
export function touch(image: ImageDraft, { digests, when }: ChangeOf<'cache.touched'>): void {
  for (const digest of digests) {
    if (!isHeld(image, digest)) continue;
    image.touched.set(digest, Math.max(image.touched.get(digest) ?? 0, wholeTime(when)));
  }
}

/** Removes the access time of a digest that the image no longer holds in any form. */
export function forgetTouch(image: ImageDraft, digest: Digest): void {
  if (!isHeld(image, digest)) image.touched.delete(digest);
}

/** Adds pulls to the record of a manifest of the image. */
export function countPulls(image: ImageDraft, { digest, count, when }: ChangeOf<'manifest.pulled'>): void {
  if (!image.hasManifest(digest)) return;
  image.pulls.set(digest, addPulls(image.pulls.get(digest), digest, count, when));
}

/** Adds moves of the past to the history of a tag that has none. */
export function importMoves(image: ImageDraft, registry: RegistryDraft, { tag, moves }: ChangeOf<'tag.history'>): void {
  const by = registry.by?.actor;
  if (by === undefined || image.moves.has(tag)) return;
  const kept = moves.slice(-maxMoves);
  for (const [i, { digest, at }] of kept.entries()) {
    const was = kept[i - 1]?.digest;
    registry.moves.push({ image, tag, move: { move: i + 1, at, by, digest, ...(was === undefined ? {} : { was }) } });
  }
  if (kept.length > 0) image.moves.set(tag, kept.length);
}

/** Adds pulls to the record of a manifest. Keeps the last days. */
export function addPulls(before: PullRecord | undefined, digest: Digest, count: number, when: number): PullRecord {
  const day = Math.floor(when / dayMs);
  const known = before?.days ?? [];
  const isKnown = count === 0 || known.some((one) => one.day === day);
  const days = isKnown
    ? known.map((one) => (one.day === day ? { day, count: one.count + count } : one))
    : [...known, { day, count }].sort((a, b) => a.day - b.day);
  return {
    digest,
    lastAt: Math.max(before?.lastAt ?? 0, when),
    total: (before?.total ?? 0) + count,
    days: days.filter((one) => one.day > (days.at(-1)?.day ?? day) - maxDays),
  };
}

function isHeld(image: ImageDraft, digest: Digest): boolean {
  return image.links.get(digest) !== undefined || image.hasManifest(digest);
}
