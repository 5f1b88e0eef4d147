/**
 * The keys of the index. Only this file, `level-ordered-keys.ts` and `level-ledger-keys.ts` spell them.
 *
 * A key is `<owner> \0 <family> \0 …`, shown here with `|` for `\0`. The owner is `!` for data of the whole registry, or
 * else the internal id of a repository: short, assigned at creation, never reused (the batch that takes an id also writes
 * `next-id`). Deleting a repository therefore only removes its name; the keys under its id are purged later.
 * `\0` sorts before every character of a name, a tag or a digest, so keys sort by their last parts in byte order.
 *
 *   !|batch                                               {id, number, synced}  first in every batch: the id of the index, the number of
 *                                                                         the batch, and the newest batch known to be synced
 *   !|check                                               7               written and read back by health checks
 *   !|next-id                                             7               the id of the next repository
 *   !|repository|docker-internal                          {id, record}
 *   !|purging|4                                           1767225600000   a deleted repository with keys left → time of deletion
 *   !|session|0b9c…                                       {repositoryId, session}
 *   !|condemned|sha256:ab…                                ""
 *   !|record|account|ci                                   {…}             a document, by kind and id
 *   !|holder|sha256:ab…|link|5|team/app                   ""              digest → images that link it
 *   !|holder|sha256:cd…|manifest|5|team/app               ""              digest → images that hold it as a manifest
 *   !|holder|sha256:cd…|trash|5|team/app                  ""              digest → images that have it in the trash
 *   !|holder|sha256:ab…|unlinked|5|team/app               ""              digest → images that `unlinked` it
 *   !|stored|sha256:ab…                                   5242880         content that was held and is not deleted yet → its size
 *   !|stored-bytes                                        {bytes, …}      the sum of these sizes
 *   !|since|sha256:ab…                                    1767225600000   candidate for bytes → its time in `due`
 *   !|due|0001767225600000|bytes|sha256:ab…               ""              candidates by time
 *   !|due|0001767225600000|link|5|team/app|sha256:ab…     ""
 *
 *   !|store-id                                            "0b9c…"         the id of the registry's bucket
 *   !|place|sha256:ab…                                    ObjectPlace     the object with these bytes, in a bucket
 *   !|staged|0b9c…                                        StagedState     the parts of an upload to a bucket
 *   !|trash|o/0b9c…                                       TrashedObject   an object to delete → its time in `trash-due`
 *   !|trash-due|0001767225600000|o/0b9c…                  ""              objects to delete, by time
 *
 *   !|journal|0000000000000042                            JournalEntry    who changed what, in order
 *   !|trimmed                                             41              the highest number that was removed from the journal
 *   !|sample|hour|0001767225600000                        Sample          figures of an hour or a day, by its start
 *
 *   5|image|team/app                                      {record, links} counts, always written as absolute values
 *   5|link|team/app|sha256:ab…                            BlobLink
 *   5|manifest|team/app|sha256:cd…                        ManifestRecord
 *   5|tag|team/app|v1.0                                   TagRecord
 *   5|moves|team/app|v1.0                                 7               the number of the tag's last move
 *   5|history|team/app|v1.0|0000000000000007              TagMove         the last moves of the tag
 *   5|pulls|team/app|sha256:cd…                          PullRecord      when the manifest was pulled, and how often
 *   5|named|team/app|sha256:ab…|sha256:cd…                ""              digest → manifests of the image that name it
 *   5|tagged|team/app|sha256:cd…|v1.0                     ""              digest → its tags in the image
 *   5|referrer|team/app|sha256:cd…|sha256:ef…             ""              subject → its referrers
 *   5|since|team/app|sha256:ab…                           1767225600000   candidate for a link → its time in `due`
 *   5|session|0b9c…                                       ""              the repository's sessions, for purging
 *   5|kept|team/app|sha256:ab…|sha256:cd…                ""              digest → manifests in the trash that name it
 *   5|trashed|team/app|sha256:cd…                        TrashItem       a deleted manifest that can be restored → its time in `expiring`
 *   5|unlinked|team/app|sha256:ab…                        BlobLink        a deleted link that a restore from the trash needs
 *   5|expiring|0001767225600000|team/app|sha256:cd…      ""              the trash, by the time of expiry
 *   5|touched|team/app|sha256:ab…                         1767225600000   in a cache: last access → its time in `oldest`
 *   5|oldest|0001767225600000|team/app|sha256:ab…         ""              content of a cache, by last access
 *
 * Values are JSON, or empty where the key carries all the data. The keys of lists of members (`holder`, `named`, `kept`, `tagged`,
 * `referrer`) consist of a prefix, which ends with `\0`, and a member.
 */
import type { Digest } from '../../protocol/digest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import type { DocumentKind } from '../../ports/metadata/documents.js';
import type { BlobLink, RepositoryRecord, SessionRecord, TagRecord } from '../../ports/metadata/metadata.js';
import type { ImageRecord, ManifestRecord } from '../../ports/metadata/images.js';

declare const valueOf: unique symbol;
/**
 * A key, with the type of its value. The functions that build keys cast their text to it: the type exists for the compiler
 * only.
 */
export type Key<T> = string & { readonly [valueOf]: T };
/** The prefix of the keys of a list of members. */
export type Prefix = string & { readonly [valueOf]: 'members' };
/** The internal id of a repository. */
export type RepositoryId = string & { readonly [valueOf]: 'id' };

/** An image under its repository's internal id. */
export interface Place {
  readonly id: RepositoryId;
  readonly image: string;
}

/** The value of a repository key. */
export interface StoredRepository {
  readonly id: RepositoryId;
  readonly record: RepositoryRecord;
}

/** The value of a session key. */
export interface StoredSession {
  readonly repositoryId: RepositoryId;
  readonly session: SessionRecord;
}

/** The value of an image key. */
export interface StoredImage {
  readonly record: ImageRecord;
  /** Number of linked blobs, which the record does not show. An image without manifests, links and trash has no key. */
  readonly links: number;
  /** Number of manifests in the trash, unless it is 0. */
  readonly trashed?: number;
}

/** Identifies an index and its newest batch. Batches are numbered without gaps. */
export interface BatchHead {
  readonly id: string;
  readonly number: number;
  /** The newest batch that was known to be synced when this one was written. */
  readonly synced: number;
}

/** The sum of the sizes of stored content. */
export interface StoredTotal {
  readonly bytes: number;
  /** The digest up to which content of releases without this sum is counted. Absent: all is counted. */
  readonly countedTo?: string;
}

/** A candidate without its time, which identifies it. */
export type CandidateTarget =
  | { readonly kind: 'link'; readonly place: Place; readonly digest: Digest }
  | { readonly kind: 'bytes'; readonly digest: Digest };

/** The key of the id that the next repository gets. */
export const nextIdKey = '!\0next-id' as Key<number>;

/** The key that every batch writes first. */
export const batchKey = '!\0batch' as Key<BatchHead>;

/** The key of the sum of the sizes of stored content. */
export const storedTotalKey = '!\0stored-bytes' as Key<StoredTotal>;

/** The key of the highest number that was removed from the journal. */
export const trimmedKey = '!\0trimmed' as Key<number>;

/** The key that health checks write and read back. */
export const checkKey = '!\0check' as Key<number>;

/** Returns the key of a repository, by name. */
export function repositoryKey(name: string): Key<StoredRepository> {
  return `!\0repository\0${name}` as Key<StoredRepository>;
}

/** Returns the key that marks a deleted repository with keys left. */
export function purgingKey(id: RepositoryId): Key<number> {
  return `!\0purging\0${id}` as Key<number>;
}

/** Returns the key of an upload session. */
export function sessionKey(id: SessionId): Key<StoredSession> {
  return `!\0session\0${id}` as Key<StoredSession>;
}

/** Returns the key that lists a session under its repository. */
export function ownSessionKey(repository: RepositoryId, id: SessionId): Key<''> {
  return `${repository}\0session\0${id}` as Key<''>;
}

/** Returns the key of the size of stored content. */
export function storedKey(digest: Digest): Key<number> {
  return `!\0stored\0${digest}` as Key<number>;
}

/** Returns the key that marks bytes about to be deleted. */
export function condemnedKey(digest: Digest): Key<''> {
  return `!\0condemned\0${digest}` as Key<''>;
}

/** Returns the key of a document. */
export function documentKey(kind: DocumentKind, id: string): Key<object> {
  return `${documentPrefix}${kind}\0${id}` as Key<object>;
}

/** Returns the key of an image's record. */
export function imageKey({ id, image }: Place): Key<StoredImage> {
  return `${id}\0image\0${image}` as Key<StoredImage>;
}

/** Returns the key of a blob's link in an image. */
export function linkKey({ id, image }: Place, digest: Digest): Key<BlobLink> {
  return `${id}\0link\0${image}\0${digest}` as Key<BlobLink>;
}

/** Returns the key of a manifest's record in an image. */
export function manifestKey({ id, image }: Place, digest: Digest): Key<ManifestRecord> {
  return `${id}\0manifest\0${image}\0${digest}` as Key<ManifestRecord>;
}

/** Returns the key of a tag. */
export function tagKey({ id, image }: Place, tag: Tag): Key<TagRecord> {
  return `${id}\0tag\0${image}\0${tag}` as Key<TagRecord>;
}

/** The kind of reference from an image to a digest. */
export type HolderKind = (typeof holderKinds)[number];
export const holderKinds = ['link', 'manifest', 'trash', 'unlinked'] as const;

/** Returns the prefix of the holders of a digest. Members are `link|<id>|<image>`, or the same with another kind. */
export function holderPrefix(digest: Digest): Prefix {
  return `${allHoldersPrefix}${digest}\0` as Prefix;
}

/** Parses a key under `allHoldersPrefix`. */
export function parseHolderKey(key: string): { readonly digest: Digest; readonly kind: string; readonly place: Place } {
  // The casts follow the form that `holderPrefix` and `holderMember` build.
  const [, , digest, kind, id, image] = key.split('\0') as [string, string, string, string, string, string];
  return { digest: digest as Digest, kind, place: { id: id as RepositoryId, image } };
}

/** Returns the member of `holderPrefix` for an image. */
export function holderMember(kind: HolderKind, { id, image }: Place): string {
  return `${kind}\0${id}\0${image}`;
}

/** Returns the prefix of the manifests of an image that name a digest. Members are their digests. */
export function namedPrefix({ id, image }: Place, digest: Digest): Prefix {
  return `${id}\0named\0${image}\0${digest}\0` as Prefix;
}

/** Returns the prefix of the manifests in the trash of an image that name a digest. Members are their digests. */
export function keptPrefix({ id, image }: Place, digest: Digest): Prefix {
  return `${id}\0kept\0${image}\0${digest}\0` as Prefix;
}

/** Returns the prefix of the tags of an image that point to a digest. Members are tags. */
export function taggedPrefix({ id, image }: Place, digest: Digest): Prefix {
  return `${id}\0tagged\0${image}\0${digest}\0` as Prefix;
}

/** Returns the prefix of the referrers of a subject. Members are digests of manifests. */
export function referrerPrefix({ id, image }: Place, subject: Digest): Prefix {
  return `${id}\0referrer\0${image}\0${subject}\0` as Prefix;
}

/** Returns the prefix of all tags of an image. */
export function tagPrefix({ id, image }: Place): string {
  return `${id}\0tag\0${image}\0`;
}

/** Returns the prefix of the records of an image's manifests or links, by digest. */
export function contentPrefix(family: 'manifest' | 'link', { id, image }: Place): string {
  return `${id}\0${family}\0${image}\0`;
}

/** Returns the prefix of all images of a repository. */
export function imagePrefix(id: RepositoryId): string {
  return `${id}\0image\0`;
}

/** Returns the parts of a key: owner, family and the rest. */
export function splitKey(key: string): readonly [owner: string, family: string, ...rest: string[]] {
  // Every key has an owner and a family.
  return key.split('\0') as [string, string, ...string[]];
}

/** Returns the end of the range of keys that begin with a prefix, which must end with `\0`. */
export function rangeEnd(prefix: string): string {
  return `${prefix.slice(0, -1)}\x01`;
}

/** Prefixes of the families that belong to the whole registry. */
export const repositoryPrefix = '!\0repository\0';
export const purgingPrefix = '!\0purging\0';
export const sessionPrefix = '!\0session\0';
export const condemnedPrefix = '!\0condemned\0';
export const documentPrefix = '!\0record\0';
export const journalPrefix = '!\0journal\0';
export const allHoldersPrefix = '!\0holder\0';
/** Returns the prefix of all keys under a repository's id. */
export function ownedPrefix(id: RepositoryId): string {
  return `${id}\0`;
}
