import type { ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Closers } from '../../util/closers.js';
import { S3Bucket } from '../s3/client/s3-bucket.js';
import { S3Client } from '../s3/client/s3-client.js';
import { S3Content } from '../s3/s3-content.js';
import { BucketMarker } from '../s3/s3-marker.js';
import { defaultTimeouts, type S3Connection } from '../s3/s3-options.js';
import type { FoundObject, ObjectSource, OpenedObject } from './found-objects.js';

/** The keys of objects begin with it. */
const prefix = 'o/';

/** A bucket, and how long an object stays that another one with the same bytes replaces. */
export interface BucketPlace {
  readonly connection: S3Connection;
  readonly trashMs: number;
}

/** Finds the objects of a bucket. */
export class BucketObjects implements ObjectSource {
  readonly #bucket: S3Bucket;
  readonly #trashMs: number;

  private constructor(bucket: S3Bucket, trashMs: number) {
    this.#bucket = bucket;
    this.#trashMs = trashMs;
  }

  /** Opens a bucket; sends nothing. */
  static async open({ connection, trashMs }: BucketPlace, closers: Closers): Promise<BucketObjects> {
    const bucket = new S3Bucket(await S3Client.create(connection, defaultTimeouts), connection);
    closers.add('bucket', () => bucket.close());
    return new BucketObjects(bucket, trashMs);
  }

  /** @throws WrongBucketError */
  examine(ledger: ObjectLedger, adopts: boolean): Promise<string | undefined> {
    return BucketMarker.examine(this.#bucket, ledger, adopts);
  }

  adopt(ledger: ObjectLedger): Promise<void> {
    return BucketMarker.adopt(this.#bucket, ledger);
  }

  async *objects(ledger: ObjectLedger | undefined): AsyncGenerator<FoundObject> {
    const known = await readKnown(ledger);
    for await (const { key, modifiedAt } of this.#bucket.list(prefix)) {
      // An earlier run found the same bytes in another object.
      if (known.has(key) && known.get(key) === undefined) continue;
      yield { name: key, modifiedAt, recorded: known.get(key), open: () => this.#open(key, ledger) };
    }
  }

  async #open(key: string, ledger: ObjectLedger | undefined): Promise<OpenedObject | undefined> {
    const found = await this.#bucket.describe(key);
    if (found === undefined) return undefined;
    const { size, etag, digest: expected } = found;
    const place = { key, size, etag, storedAt: Date.now() };
    const onMissing = async (): Promise<Error> => new RegistryError('BLOB_UNKNOWN', { detail: { key } });
    return {
      content: new S3Content(this.#bucket, place, undefined, onMissing),
      expected,
      record: async (digest) => {
        // Objects with the same bytes remain unknown to the index, whose audit deletes them.
        if (ledger === undefined || (await ledger.place(digest)) !== undefined) return;
        await ledger.putPlace(digest, place, { until: Date.now() + this.#trashMs });
      },
    };
  }
}

/** Returns the objects that an earlier run recorded, or found to be superfluous. */
async function readKnown(ledger: ObjectLedger | undefined): Promise<ReadonlyMap<string, Digest | undefined>> {
  const known = new Map<string, Digest | undefined>();
  if (ledger === undefined) return known;
  for await (const { key, digest } of ledger.objects(prefix)) known.set(key, digest);
  return known;
}
