/**
 * Where everything lies in the index: the only file that spells a key.
 *
 * A key is `<owner> \0 <family> \0 …`, drawn here with `|` for `\0`. The owner is `!` for what belongs to the whole
 * registry, else a repository's internal id: short, new at each creation, never used again (`next-id` is written by the
 * batch that takes one). So a deleted repository is forgotten by dropping its name, and what lies under its id goes later.
 * `\0` is smaller than every character of a name, a tag or a digest: keys sort as their last parts do, in byte order.
 *
 *   !|batch                                               {id, number, synced}  written first by every batch: the index's id, which batch
 *                                                                         this is, and the newest one known to be synced
 *   !|check                                               7               written and read back by health checks
 *   !|next-id                                             7               the id that the next repository gets
 *   !|repository|docker-internal                          {id, record}
 *   !|purging|4                                           1767225600000   a deleted repository with keys left, and since when
 *   !|session|0b9c…                                       {repositoryId, session}
 *   !|condemned|sha256:ab…                                ""
 *   !|record|account|ci                                   {…}             a document of this kind and id
 *   !|holder|sha256:ab…|link|5|team/app                   ""              digest → who links it
 *   !|holder|sha256:cd…|manifest|5|team/app               ""              digest → who has a manifest record of it
 *   !|since|sha256:ab…                                    1767225600000   bytes candidate → where in `due` it is
 *   !|due|0001767225600000|bytes|sha256:ab…               ""              candidates by time
 *   !|due|0001767225600000|link|5|team/app|sha256:ab…     ""
 *
 *   5|image|team/app                                      {record, links} counts, always written as absolute values
 *   5|link|team/app|sha256:ab…                            BlobLink
 *   5|manifest|team/app|sha256:cd…                        ManifestRecord
 *   5|tag|team/app|v1.0                                   TagRecord
 *   5|named|team/app|sha256:ab…|sha256:cd…                ""              digest → manifests of the image that name it
 *   5|tagged|team/app|sha256:cd…|v1.0                     ""              digest → its tags in the image
 *   5|referrer|team/app|sha256:cd…|sha256:ef…             ""              subject → its referrers
 *   5|since|team/app|sha256:ab…                           1767225600000   link candidate → where in `due` it is
 *   5|session|0b9c…                                       ""              the repository's sessions, for purging
 *   5|touched|team/app|sha256:ab…                         1767225600000   in a cache: last asked for → where in `oldest` it is
 *   5|oldest|0001767225600000|team/app|sha256:ab…         ""              what a cache holds, by when it was last asked for
 *
 * Values are JSON, or nothing where the key says it all. A key that ends in a list of members (`holder`, `named`,
 * `tagged`, `referrer`) is a prefix and a member: the prefix ends with `\0`.
 */
import type { Digest } from '../../protocol/digest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import type {
  BlobLink,
  ManifestRecord,
  DocumentKind,
  RepositoryRecord,
  SessionRecord,
  TagRecord,
} from '../../ports/metadata.js';
import type { ImageRecord } from '../../ports/images.js';

declare const valueOf: unique symbol;
/** A key, and the type of what lies there. */
export type Key<T> = string & { readonly [valueOf]: T };
/** What a list of members begins with. */
export type Prefix = string & { readonly [valueOf]: 'members' };
/** A repository's internal id. */
export type RepositoryId = string & { readonly [valueOf]: 'id' };

/** An image under its repository's internal id. */
export interface Place {
  readonly id: RepositoryId;
  readonly image: string;
}

export interface StoredRepository {
  readonly id: RepositoryId;
  readonly record: RepositoryRecord;
}

export interface StoredSession {
  readonly repositoryId: RepositoryId;
  readonly session: SessionRecord;
}

export interface StoredImage {
  readonly record: ImageRecord;
  /** Besides what the record tells: an image that holds nothing at all has no record. */
  readonly links: number;
}

/** Identifies an index and its newest batch. Batches are numbered without gaps. */
export interface BatchHead {
  readonly id: string;
  readonly number: number;
  /** The newest batch that was known to be synced when this one was made. */
  readonly synced: number;
}

/** A candidate without its time: what it is found by. */
export type CandidateTarget =
  | { readonly kind: 'link'; readonly place: Place; readonly digest: Digest }
  | { readonly kind: 'bytes'; readonly digest: Digest };

export const nextIdKey = '!\0next-id' as Key<number>;

export const batchKey = '!\0batch' as Key<BatchHead>;

export const checkKey = '!\0check' as Key<number>;

export function repositoryKey(name: string): Key<StoredRepository> {
  return `!\0repository\0${name}` as Key<StoredRepository>;
}

export function purgingKey(id: RepositoryId): Key<number> {
  return `!\0purging\0${id}` as Key<number>;
}

export function sessionKey(id: SessionId): Key<StoredSession> {
  return `!\0session\0${id}` as Key<StoredSession>;
}

export function ownSessionKey(repository: RepositoryId, id: SessionId): Key<''> {
  return `${repository}\0session\0${id}` as Key<''>;
}

export function condemnedKey(digest: Digest): Key<''> {
  return `!\0condemned\0${digest}` as Key<''>;
}

export function documentKey(kind: DocumentKind, id: string): Key<object> {
  return `${documentPrefix}${kind}\0${id}` as Key<object>;
}

export function imageKey({ id, image }: Place): Key<StoredImage> {
  return `${id}\0image\0${image}` as Key<StoredImage>;
}

export function linkKey({ id, image }: Place, digest: Digest): Key<BlobLink> {
  return `${id}\0link\0${image}\0${digest}` as Key<BlobLink>;
}

export function manifestKey({ id, image }: Place, digest: Digest): Key<ManifestRecord> {
  return `${id}\0manifest\0${image}\0${digest}` as Key<ManifestRecord>;
}

export function tagKey({ id, image }: Place, tag: Tag): Key<TagRecord> {
  return `${id}\0tag\0${image}\0${tag}` as Key<TagRecord>;
}

export function sinceKey(target: CandidateTarget): Key<number> {
  if (target.kind === 'bytes') return `!\0since\0${target.digest}` as Key<number>;
  return `${target.place.id}\0since\0${target.place.image}\0${target.digest}` as Key<number>;
}

export function dueKey(target: CandidateTarget, since: number): Key<''> {
  const begin = `!\0due\0${formatTime(since)}\0${target.kind}\0`;
  if (target.kind === 'bytes') return `${begin}${target.digest}` as Key<''>;
  return `${begin}${target.place.id}\0${target.place.image}\0${target.digest}` as Key<''>;
}

/** The candidates from before a time. */
export function dueBefore(before: number): { readonly gt: string; readonly lt: string } {
  return { gt: '!\0due\0', lt: `!\0due\0${formatTime(before)}` };
}

/** The inverse of `dueKey`. */
export function parseDueKey(key: string): { readonly target: CandidateTarget; readonly since: number } {
  const [, , time, kind, ...rest] = key.split('\0') as [string, string, string, string, ...string[]];
  const digest = rest.at(-1) as Digest;
  if (kind === 'bytes') return { since: Number(time), target: { kind, digest } };
  const place = { id: rest[0] as RepositoryId, image: rest[1] as string };
  return { since: Number(time), target: { kind: 'link', place, digest } };
}

/** A time as keys have it: whole, since a file system may tell fractions of a millisecond; outside goes to the nearer end. */
export function wholeTime(time: number): number {
  return Math.min(Math.max(Math.ceil(time), 0), Number.MAX_SAFE_INTEGER);
}

/** Digits enough for every safe integer, so that keys sort as times do. */
function formatTime(time: number): string {
  return String(wholeTime(time)).padStart(16, '0');
}

export function touchedKey({ id, image }: Place, digest: Digest): Key<number> {
  return `${id}\0touched\0${image}\0${digest}` as Key<number>;
}

export function oldestKey({ id, image }: Place, digest: Digest, touchedAt: number): Key<''> {
  return `${oldestPrefix(id)}${formatTime(touchedAt)}\0${image}\0${digest}` as Key<''>;
}

/** What a repository's cache holds, the longest unused first. */
export function oldestPrefix(id: RepositoryId): string {
  return `${id}\0oldest\0`;
}

/** The inverse of `oldestKey`. */
export function parseOldestKey(key: string): {
  readonly place: Place;
  readonly digest: Digest;
  readonly touchedAt: number;
} {
  const [id, , time, image, digest] = key.split('\0') as [string, string, string, string, string];
  return { place: { id: id as RepositoryId, image }, digest: digest as Digest, touchedAt: Number(time) };
}

/** The members are holders, `link|<id>|<image>` or `manifest|<id>|<image>`. */
export function holderPrefix(digest: Digest): Prefix {
  return `!\0holder\0${digest}\0` as Prefix;
}

export function holderMember(kind: 'link' | 'manifest', { id, image }: Place): string {
  return `${kind}\0${id}\0${image}`;
}

/** The members are digests of manifests. */
export function namedPrefix({ id, image }: Place, digest: Digest): Prefix {
  return `${id}\0named\0${image}\0${digest}\0` as Prefix;
}

/** The members are tags. */
export function taggedPrefix({ id, image }: Place, digest: Digest): Prefix {
  return `${id}\0tagged\0${image}\0${digest}\0` as Prefix;
}

/** The members are digests of manifests. */
export function referrerPrefix({ id, image }: Place, subject: Digest): Prefix {
  return `${id}\0referrer\0${image}\0${subject}\0` as Prefix;
}

/** All tags of an image. */
export function tagPrefix({ id, image }: Place): string {
  return `${id}\0tag\0${image}\0`;
}

/** All images of a repository. */
export function imagePrefix(id: RepositoryId): string {
  return `${id}\0image\0`;
}

/** The parts of a key: owner, family and what follows. */
export function splitKey(key: string): readonly [owner: string, family: string, ...rest: string[]] {
  return key.split('\0') as [string, string, ...string[]];
}

/** The end of the range of keys that begin with a prefix, which itself ends with `\0`. */
export function rangeEnd(prefix: string): string {
  return `${prefix.slice(0, -1)}\x01`;
}

export const repositoryPrefix = '!\0repository\0';
export const purgingPrefix = '!\0purging\0';
export const sessionPrefix = '!\0session\0';
export const condemnedPrefix = '!\0condemned\0';
export const documentPrefix = '!\0record\0';
/** Everything that a repository holds. */
export function ownedPrefix(id: RepositoryId): string {
  return `${id}\0`;
}
