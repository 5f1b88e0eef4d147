import { RegistryError } from '../../protocol/errors.js';
import type { ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { S3Bucket } from './client/s3-bucket.js';

const key = 'artifactapi.json';
const layout = 1;

/** Thrown when the bucket does not belong to the index. The message is for the operator. */
class WrongBucketError extends Error {
  override readonly name = 'WrongBucketError';
  readonly code = 'WRONG_BUCKET';
}

/**
 * The object that names the index of a bucket, so that a registry does not take the content of another registry for its
 * own.
 */
export class BucketMarker {
  readonly #bucket: S3Bucket;
  readonly #storeId: string;

  private constructor(bucket: S3Bucket, storeId: string) {
    this.#bucket = bucket;
    this.#storeId = storeId;
  }

  /**
   * Checks that the bucket belongs to the index. Marks a bucket for an index that has no content.
   * @throws WrongBucketError
   */
  static async open(bucket: S3Bucket, ledger: ObjectLedger): Promise<BucketMarker> {
    const storeId = await ledger.storeId();
    const marker = new BucketMarker(bucket, storeId);
    const found = await marker.#read();
    if (found === undefined) {
      if (!(await isEmpty(ledger))) {
        throw new WrongBucketError(
          `the bucket has no object ${key} below the prefix, but the index has blobs: check bucket, prefix and endpoint, or restore the bucket`,
        );
      }
      await BucketMarker.adopt(bucket, ledger);
    } else if (found !== storeId) {
      throw new WrongBucketError(
        `the bucket belongs to another registry: ${key} names the store ${found} and the index ${storeId}. Use another bucket or prefix, or the index of that registry`,
      );
    }
    return marker;
  }

  /**
   * Returns the id of the other index to which a bucket belongs, if it belongs to one.
   * @throws WrongBucketError when it does not belong to this index and must not be adopted.
   */
  static async examine(bucket: S3Bucket, ledger: ObjectLedger, adopts: boolean): Promise<string | undefined> {
    const found = await new BucketMarker(bucket, '').#read();
    if (found === (await ledger.storeId())) return undefined;
    if (adopts) return found;
    throw new WrongBucketError(
      found === undefined
        ? `the bucket has no object ${key} below the prefix: check bucket, prefix and endpoint. To adopt it anyway, add --adopt`
        : `the bucket belongs to the index ${found}. If that index is lost and no registry uses the bucket, add --adopt`,
    );
  }

  /** Makes a bucket that of an index. A registry with the former index deletes nothing from it any more. */
  static async adopt(bucket: S3Bucket, ledger: ObjectLedger): Promise<void> {
    await bucket.put(key, Buffer.from(JSON.stringify({ storeId: await ledger.storeId(), layout })));
  }

  /** @throws RegistryError UNAVAILABLE when the bucket is another one now, or cannot be reached. */
  async check(): Promise<void> {
    const found = await this.#read();
    if (found === this.#storeId) return;
    const cause = new WrongBucketError(
      found === undefined ? `the bucket lost the object ${key}` : `the bucket belongs to the store ${found} now`,
    );
    throw new RegistryError('UNAVAILABLE', { message: 'the object store is not the one of this registry', cause });
  }

  async #read(): Promise<string | undefined> {
    const bytes = await this.#bucket.get(key);
    if (bytes === undefined) return undefined;
    const found = parse(bytes.toString());
    if (found.layout !== layout)
      throw new WrongBucketError(
        `${key} in the bucket has layout ${String(found.layout)}: this release reads ${layout}`,
      );
    return String(found.storeId);
  }
}

async function isEmpty(ledger: ObjectLedger): Promise<boolean> {
  const places = ledger.places()[Symbol.asyncIterator]();
  const first = await places.next();
  await places.return?.();
  return first.done === true;
}

function parse(text: string): { readonly storeId?: unknown; readonly layout?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
