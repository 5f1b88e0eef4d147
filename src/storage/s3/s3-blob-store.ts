/**
 * Blobs as objects of a bucket, with their state in the ledger of the index. This file implements the port. `client/` sends
 * requests, `uploads/` receives content. An object is written once, under a key that is never used again, and is deleted only
 * from the trash. Imported by storage/ only.
 */
import { randomUUID } from 'node:crypto';
import type { BlobContent, BlobInfo, BlobStore, ByteRange, StagedBlob, StageOptions } from '../../ports/bytes.js';
import type { ObjectLedger, ObjectPlace } from '../../ports/metadata/object-ledger.js';
import type { Page } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { Closers } from '../../util/closers.js';
import { checkStagedId } from '../files/storage-errors.js';
import { statEach } from '../stat-each.js';
import { S3Bucket } from './client/s3-bucket.js';
import { S3Client } from './client/s3-client.js';
import { S3Audit } from './s3-audit.js';
import { S3Content } from './s3-content.js';
import { BucketMarker } from './s3-marker.js';
import { defaultTimeouts, type S3Connection, type S3Timeouts } from './s3-options.js';
import { infoOf, S3Places } from './s3-places.js';
import { S3Trash } from './s3-trash.js';
import { OpenUploads } from './uploads/open-uploads.js';
import { S3Upload, type UploadContext } from './uploads/s3-upload.js';
import { Spool } from './uploads/spool.js';
import { sizeOf } from './uploads/join-parts.js';
import { minPartBytes } from './uploads/upload-parts.js';

/** Options of the store. */
export interface S3BlobStoreOptions {
  readonly connection: S3Connection;
  readonly ledger: ObjectLedger;
  /** A folder that only this process uses, for content that arrives within one request. */
  readonly spoolFolder: string;
  /** How long an object stays after its bytes were deleted: readers and restored backups of the index may need it. */
  readonly trashMs: number;
  /** The memory that uploads together use before they slow down. @default 256 MiB */
  readonly maxUploadBufferBytes?: number | undefined;
  readonly timeouts?: S3Timeouts | undefined;
  /** How long another process may hold an upload without progress. @default 10 s */
  readonly staleMs?: number;
  /** How often to ask for an upload that another process holds. @default 500 ms */
  readonly pollMs?: number;
  /** @default Date.now */
  readonly now?: () => number;
  /**
   * Called when the object of a blob is missing although the bucket is the right one, or has other bytes: the blob is
   * absent from then on.
   */
  readonly onLost: (digest: Digest, key: string) => void;
  /** Called when the audit found objects that are not in the index. They are deleted later. */
  readonly onUnknown: (keys: readonly string[]) => void;
  /** Called when objects could not be deleted or compared with the index. The store tries again later. */
  readonly onTrashError: (error: unknown) => void;
}

interface Parts {
  readonly bucket: S3Bucket;
  readonly ledger: ObjectLedger;
  readonly marker: BucketMarker;
  readonly places: S3Places;
  readonly trash: S3Trash;
  readonly spool: Spool;
  readonly uploads: UploadContext;
  readonly onLost: S3BlobStoreOptions['onLost'];
}

/** The callbacks of the audit. */
type AuditCalls = Pick<S3BlobStoreOptions, 'onUnknown' | 'onTrashError'>;

const defaultBufferBytes = 256 * 1024 * 1024;
/** How long a request of this process may stall while another one waits. */
const defaultStaleMs = 10_000;
const defaultPollMs = 500;
/** The number of uploads whose hash is remembered. */
const maxIdleUploads = 256;
/**
 * How long objects of lost blobs, and objects that the index does not know, are kept: the bucket or the index may be
 * restored.
 */
const lostMs = 7 * 24 * 3_600_000;
const emptyPage = { items: [], more: false } as const;

/** Stores blobs in a bucket of S3 or a compatible service. */
export class S3BlobStore implements BlobStore {
  readonly minChunkBytes = minPartBytes;
  readonly #parts: Parts;
  readonly #audit: S3Audit;
  readonly #open = new OpenUploads(maxIdleUploads);
  #closed = false;

  private constructor(parts: Parts, { onUnknown, onTrashError: onError }: AuditCalls) {
    this.#parts = { ...parts, uploads: { ...parts.uploads, gone: (upload) => this.#open.remove(upload) } };
    const { bucket, ledger, places } = parts;
    const { now } = parts.uploads;
    const onMissing = (digest: Digest, key: string): Promise<Error> => this.#onMissing(digest, { key });
    // A restored or repaired index may lack the only copy of a blob.
    const trashAt = (): number => Math.max(places.trashAt(), now() + lostMs);
    this.#audit = new S3Audit({ bucket, ledger, now, trashAt, onMissing, onUnknown, onError });
    this.#audit.start();
  }

  /**
   * Opens a bucket and marks it as the one of the ledger's index.
   * @throws WrongBucketError when it belongs to another one. @throws S3Error, RegistryError when it cannot be reached.
   */
  static async open(options: S3BlobStoreOptions): Promise<S3BlobStore> {
    const { connection, ledger, trashMs, onLost, onTrashError, now = Date.now } = options;
    const bucket = new S3Bucket(await S3Client.create(connection, options.timeouts ?? defaultTimeouts), connection);
    try {
      const marker = await BucketMarker.open(bucket, ledger);
      const places = new S3Places({ bucket, ledger, trashMs, now });
      const spool = await Spool.open(options.spoolFolder, (path, digest) => places.publishFile(path, digest));
      const trash = new S3Trash({ bucket, ledger, marker, now, onError: onTrashError });
      const uploads: UploadContext = {
        bucket,
        ledger,
        owner: randomUUID(),
        staleMs: options.staleMs ?? defaultStaleMs,
        pollMs: options.pollMs ?? defaultPollMs,
        budget: { maxBytes: options.maxUploadBufferBytes ?? defaultBufferBytes, usedBytes: 0 },
        newKey: () => places.newKey(),
        now,
        retireAt: () => places.retireAt(),
        reservedUntil: () => places.reservedUntil(),
        name: (digest, place, staged) => places.name(digest, place, staged),
        gone: () => undefined,
      };
      trash.start();
      return new S3BlobStore({ bucket, ledger, marker, places, trash, spool, uploads, onLost }, options);
    } catch (error) {
      bucket.close();
      throw error;
    }
  }

  /** Asks only the ledger: a digest is recorded after its bytes were verified. */
  stat(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#parts.places.stat(digest);
  }

  async settle<T>(digests: Iterable<Digest>, write: (found: ReadonlyMap<Digest, BlobInfo>) => Promise<T>): Promise<T> {
    return write(await statEach(digests, (digest) => this.stat(digest)));
  }

  async read(digest: Digest, range?: ByteRange): Promise<BlobContent | undefined> {
    const place = await this.#parts.ledger.place(digest);
    if (place === undefined) return undefined;
    return new S3Content(this.#parts.bucket, place, range, () => this.#onMissing(digest, place));
  }

  /** Transient bytes are staged on the local disk. @throws TypeError for an invalid id */
  async stage(id: string, { algorithm = 'sha256', transient = false }: StageOptions = {}): Promise<StagedBlob> {
    checkStagedId(id);
    if (this.#closed) throw new Error('the blob store is closed');
    if (transient) return this.#parts.spool.stage(id, algorithm);
    let upload = this.#open.get(id);
    if (upload === undefined) this.#open.add((upload = new S3Upload(id, this.#parts.uploads, algorithm)));
    await upload.refresh();
    return upload;
  }

  /** Returns `undefined`: nothing can be linked into a bucket. */
  async adopt(): Promise<undefined> {
    return undefined;
  }

  /** Sends a file whose digest the caller has verified. A blob that is present gets a new object. */
  publishFile(path: string, digest: Digest): Promise<BlobInfo> {
    return this.#parts.places.publishFile(path, digest);
  }

  async delete(digest: Digest, version?: string): Promise<boolean> {
    const { ledger, places } = this.#parts;
    const key = version ?? (await ledger.place(digest))?.key;
    return key !== undefined && ledger.takePlace(digest, key, places.trashAt());
  }

  async *list(): AsyncGenerator<BlobInfo> {
    for await (const { digest, place } of this.#parts.ledger.places()) yield infoOf(digest, place);
  }

  async stagedSize(id: string): Promise<number> {
    const staged = await this.#parts.ledger.staged(id);
    return staged === undefined ? 0 : sizeOf(staged);
  }

  async *listStaged(): AsyncGenerator<{ id: string; size: number; modifiedAt: number }> {
    yield* this.#parts.spool.list();
    for await (const staged of this.#parts.ledger.allStaged()) {
      yield { id: staged.id, size: sizeOf(staged), modifiedAt: staged.modifiedAt };
    }
  }

  /** Always resolves: a bucket reports no limit. */
  async ensureRoom(): Promise<void> {}

  async check(): Promise<void> {
    if (this.#closed) throw new Error('the blob store is closed');
    await this.#parts.marker.check();
  }

  /** Returns false: a digest gets its candidate and its place in one write, so there are no orphans to quarantine. */
  async quarantine(): Promise<boolean> {
    return false;
  }

  async listQuarantined(): Promise<Page<BlobInfo>> {
    return emptyPage;
  }

  async restoreQuarantined(): Promise<boolean> {
    return false;
  }

  async deleteQuarantined(): Promise<boolean> {
    return false;
  }

  /** Deletes the objects that are due. This also happens every minute. */
  emptyTrash(): Promise<void> {
    return this.#parts.trash.empty();
  }

  /** Compares the bucket with the index if the last audit was a week ago. This is also checked every hour. */
  audit(): Promise<void> {
    return this.#audit.run();
  }

  /** Closes the store. Running appends reject and keep what arrived. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const reason = new Error('the blob store is closed');
    const { bucket, spool, trash } = this.#parts;
    // Closed in the reverse order: uploads still send what arrived.
    const closers = new Closers();
    closers.add('connections', () => bucket.close());
    closers.add('trash', () => trash.close());
    closers.add('audit', () => this.#audit.close());
    closers.add('spool', () => spool.close(reason));
    closers.add('uploads', () => this.#open.close(reason));
    await closers.close();
  }

  /**
   * Asks the marker whether this is the right bucket. Only then is a missing object lost: its blob is absent, and
   * clients push it again.
   */
  async #onMissing(digest: Digest, { key }: Pick<ObjectPlace, 'key'>): Promise<Error> {
    const { ledger, marker, onLost } = this.#parts;
    // It may have been replaced, or deleted, since the place was read.
    if ((await ledger.place(digest))?.key === key) {
      await marker.check();
      await ledger.takePlace(digest, key, this.#parts.uploads.now() + lostMs);
      onLost(digest, key);
    }
    return new RegistryError('BLOB_UNKNOWN', { detail: { digest } });
  }
}
