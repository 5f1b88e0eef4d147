/** Keys that sort by time or number: candidates, access times, the journal and the history of tags. */
import type { JournalEntry, TagMove } from '../../ports/metadata/journal.js';
import type { BlobLink } from '../../ports/metadata/metadata.js';
import type { Sample, SampleStep } from '../../ports/operations/monitoring.js';
import type { TrashItem } from '../../ports/metadata/trash.js';
import type { PullRecord } from '../../ports/metadata/pulls.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { journalPrefix, type CandidateTarget, type Key, type Place, type RepositoryId } from './level-keys.js';

/** Returns the key that holds a candidate's time. */
export function sinceKey(target: CandidateTarget): Key<number> {
  if (target.kind === 'bytes') return `!\0since\0${target.digest}` as Key<number>;
  return `${target.place.id}\0since\0${target.place.image}\0${target.digest}` as Key<number>;
}

/** Returns the key that sorts a candidate by its time. */
export function dueKey(target: CandidateTarget, since: number): Key<''> {
  const begin = `!\0due\0${formatTime(since)}\0${target.kind}\0`;
  if (target.kind === 'bytes') return `${begin}${target.digest}` as Key<''>;
  return `${begin}${target.place.id}\0${target.place.image}\0${target.digest}` as Key<''>;
}

/** Returns the range of the candidates from before a time. */
export function dueBefore(before: number): { readonly gt: string; readonly lt: string } {
  return { gt: '!\0due\0', lt: `!\0due\0${formatTime(before)}` };
}

/** Parses a key; the inverse of `dueKey`. */
export function parseDueKey(key: string): { readonly target: CandidateTarget; readonly since: number } {
  // The casts follow the form that `dueKey` builds.
  const [, , time, kind, ...rest] = key.split('\0') as [string, string, string, string, ...string[]];
  const digest = rest.at(-1) as Digest;
  if (kind === 'bytes') return { since: Number(time), target: { kind, digest } };
  const place = { id: rest[0] as RepositoryId, image: rest[1] as string };
  return { since: Number(time), target: { kind: 'link', place, digest } };
}

/** Rounds a time up to whole milliseconds, since file systems may report fractions, and limits it to safe integers. */
export function wholeTime(time: number): number {
  return Math.min(Math.max(Math.ceil(time), 0), Number.MAX_SAFE_INTEGER);
}

/** Pads a time to the digits of the largest safe integer, so that keys sort by time. */
export function formatTime(time: number): string {
  return String(wholeTime(time)).padStart(16, '0');
}

/** Returns the key of an entry of the journal. */
export function journalKey(seq: number): Key<JournalEntry> {
  return `${journalPrefix}${formatTime(seq)}` as Key<JournalEntry>;
}

/** Parses the number at the end of a key of the journal or the history. */
export function parseSequence(key: string): number {
  return Number(key.slice(key.lastIndexOf('\0') + 1));
}

/** Returns the key of the sample of a period. */
export function sampleKey(step: SampleStep, at: number): Key<Sample> {
  return `!\0sample\0${step}\0${formatTime(at)}` as Key<Sample>;
}

/** Returns the key of the number of the last move of a tag. It outlives the tag. */
export function movesKey({ id, image }: Place, tag: Tag): Key<number> {
  return `${id}\0moves\0${image}\0${tag}` as Key<number>;
}

/** Returns the key of a move of a tag. */
export function historyKey(place: Place, tag: Tag, move: number): Key<TagMove> {
  return `${historyPrefix(place, tag)}${formatTime(move)}` as Key<TagMove>;
}

/** Returns the prefix of the history of a tag. */
export function historyPrefix(place: Place, tag: Tag): string {
  return `${allHistoryPrefix(place)}${tag}\0`;
}

/** Returns the prefix of the history of all tags of an image. */
export function allHistoryPrefix({ id, image }: Place): string {
  return `${id}\0history\0${image}\0`;
}

/** Returns the key of the pulls of a manifest. */
export function pullsKey(place: Place, digest: Digest): Key<PullRecord> {
  return `${pullsPrefix(place)}${digest}` as Key<PullRecord>;
}

/** Returns the prefix of the pulls of an image. */
export function pullsPrefix({ id, image }: Place): string {
  return `${id}\0pulls\0${image}\0`;
}

/** Returns the key of the access time of cached content. */
export function touchedKey({ id, image }: Place, digest: Digest): Key<number> {
  return `${id}\0touched\0${image}\0${digest}` as Key<number>;
}

/** Returns the key that sorts cached content by access time. */
export function oldestKey({ id, image }: Place, digest: Digest, touchedAt: number): Key<''> {
  return `${oldestPrefix(id)}${formatTime(touchedAt)}\0${image}\0${digest}` as Key<''>;
}

/** Returns the prefix of a cache's content, least recently used first. */
export function oldestPrefix(id: RepositoryId): string {
  return `${id}\0oldest\0`;
}

/** Parses a key; the inverse of `oldestKey`. */
export function parseOldestKey(key: string): {
  readonly place: Place;
  readonly digest: Digest;
  readonly touchedAt: number;
} {
  // The casts follow the form that `oldestKey` builds.
  const [id, , time, image, digest] = key.split('\0') as [string, string, string, string, string];
  return { place: { id: id as RepositoryId, image }, digest: digest as Digest, touchedAt: Number(time) };
}

/** Returns the key of a manifest in the trash. */
export function trashedKey({ id, image }: Place, digest: Digest): Key<TrashItem> {
  return `${id}\0trashed\0${image}\0${digest}` as Key<TrashItem>;
}

/** Returns the key of a deleted link of a blob that a manifest in the trash names. */
export function unlinkedKey({ id, image }: Place, digest: Digest): Key<BlobLink> {
  return `${id}\0unlinked\0${image}\0${digest}` as Key<BlobLink>;
}

/** Returns the key that sorts the trash by the time when it expires. */
export function expiringKey({ id, image }: Place, digest: Digest, until: number): Key<''> {
  return `${expiringPrefix(id)}${formatTime(until)}\0${image}\0${digest}` as Key<''>;
}

/** Returns the prefix of the trash of a repository, in the order in which it expires. */
export function expiringPrefix(id: RepositoryId): string {
  return `${id}\0expiring\0`;
}

/** Returns the range of the trash of a repository that expires before a time. */
export function expiringBefore(id: RepositoryId, before: number): { readonly gt: string; readonly lt: string } {
  return { gt: expiringPrefix(id), lt: `${expiringPrefix(id)}${formatTime(before)}` };
}

/** Parses a key; the inverse of `expiringKey`. */
export function parseExpiringKey(key: string): { readonly place: Place; readonly digest: Digest } {
  const { place, digest } = parseOldestKey(key);
  return { place, digest };
}
