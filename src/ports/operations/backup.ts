/** Long-running work on stored content: backups, scrubs, and their findings. */
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { ImageKey, ImageRecord } from '../metadata/images.js';
import type { Page, PageRequest } from '../pages.js';

/** The progress of long-running work. */
export interface WorkProgress {
  readonly phase: string;
  readonly done: number;
  /** Absent until it is known. */
  readonly total?: number;
  readonly bytes: number;
  readonly totalBytes?: number;
}

/** Lets the caller follow and stop long-running work. */
export interface WorkOptions {
  /** The work rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: WorkProgress) => void) | undefined;
}

/** A use of content in an image: a tag, or a manifest without a tag. Neither for a blob that no manifest names. */
export interface ContentUse extends ImageKey {
  readonly tag?: Tag;
  readonly manifest?: Digest;
}

/** Content whose bytes are `missing`, or have another `size` or another `digest` than they should. */
export interface DamagedContent {
  readonly digest: Digest;
  readonly problem: 'missing' | 'size' | 'digest';
  readonly uses: readonly ContentUse[];
}

/** Content that was found to be damaged, and has not been healed since. */
export interface DamageRecord extends DamagedContent {
  readonly foundAt: number;
}

/** Records all damaged content of a registry. Survives a restart. */
export interface DamageRecords {
  /** In byte order of the digest. */
  list(): Promise<readonly DamageRecord[]>;
  /** Returns whether the bytes have the wrong digest. Missing bytes and those of a wrong size are evident. */
  isHidden(digest: Digest): Promise<boolean>;
  /**
   * Records damage. From now on, content with the wrong digest is absent for clients. The caller holds the lock of the
   * digest and has read the bytes under it, because a push may have replaced them.
   */
  mark(digest: Digest, problem: DamagedContent['problem']): Promise<DamageRecord>;
  /** Forgets damage, because the bytes are intact or deleted. Returns whether there was any. */
  clear(digest: Digest, reason: 'healed' | 'deleted'): Promise<boolean>;
}

/** The counts of an image according to its record, and according to its entries. */
export interface ImageRecount extends ImageKey {
  readonly recorded: ImageCounts;
  readonly counted: ImageCounts;
}

/** The counts in the record of an image. */
export type ImageCounts = Pick<ImageRecord, 'manifests' | 'tags' | 'bytes'>;

/** Content that a link, a manifest record or the trash of an image refers to. */
export interface ContentReference {
  readonly digest: Digest;
  /** The size that the bytes should have. Absent when the record with the size is unreadable. */
  readonly size?: number;
}

/** The content that the index refers to. */
export interface ContentRecords {
  /**
   * Lists everything that the index refers to, once each, in byte order of the digest; `after` is a digest. The content of
   * a deleted repository counts until it is purged.
   * @param page `repository`: lists only what this repository holds.
   */
  references(page: PageRequest & { readonly repository?: string | undefined }): Promise<Page<ContentReference>>;
  /** Lists what uses a digest, up to a thousand uses. Empty for content that is only in a deleted repository. */
  usesOf(digest: Digest): Promise<readonly ContentUse[]>;
  /** Counts an image again, at one moment. Returns `undefined` for an unknown image. */
  recount(at: ImageKey): Promise<ImageRecount | undefined>;
}

/** The contents of an index. */
export interface IndexCounts {
  readonly repositories: number;
  readonly images: number;
  readonly manifests: number;
  readonly tags: number;
}

/** The result of a backup. Times are in milliseconds since the epoch. */
export interface BackupReport extends IndexCounts {
  readonly folder: string;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Number and total size of the referenced blobs, manifests included. */
  readonly blobs: number;
  readonly bytes: number;
  /** The part of them that this backup added. */
  readonly added: number;
  readonly addedBytes: number;
  /** Whether the files of the backup are hard links to those of the data folder. */
  readonly linked: boolean;
  /** Set when the blobs are in a bucket and stay there: the backup has only the index. */
  readonly inBucket?: true;
  /** Blobs that the backup no longer needs. */
  readonly removed: number;
  readonly removedBytes: number;
  /** Content that the data folder itself lacks. */
  readonly damaged: readonly DamagedContent[];
}

/** Takes backups of an open data folder. */
export interface FolderBackups {
  /**
   * Writes a backup into a folder, or updates the one that it contains. The caller must prevent deletions of bytes
   * until then. If it is interrupted, the previous backup stays whole, and the next call completes the new one.
   * @throws RegistryError CONFLICT when the folder cannot hold the backup, and nothing was written; UNAVAILABLE with status
   * 507 when there is not enough space.
   */
  write(folder: string, work: WorkOptions): Promise<BackupReport>;
}

/** The result of checking a backup, or of restoring one. */
export interface BackupCheck extends IndexCounts {
  readonly folder: string;
  /** When the backup was taken. */
  readonly createdAt: number;
  readonly blobs: number;
  readonly bytes: number;
  /** Set when the blobs are in a bucket: they were not checked. */
  readonly inBucket?: true;
  /** Files of the index with other bytes than when the backup was taken. */
  readonly damagedIndexFiles: readonly string[];
  readonly damaged: readonly DamagedContent[];
}

/** The result of a scrub. Times are in milliseconds since the epoch. */
export interface ScrubReport {
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Number and total size of the hashed blobs. */
  readonly blobs: number;
  readonly bytes: number;
  /** Blobs that are damaged now. */
  readonly damaged: readonly DamagedContent[];
  /** Number of blobs that were damaged before and are intact now. */
  readonly healed: number;
  /** Blobs with neither a reference nor a candidate. Absent for a scrub of one repository. */
  readonly orphans?: number;
  readonly orphanBytes?: number;
  /** Images whose counts are wrong. */
  readonly drifted: readonly ImageRecount[];
}
