import type { ObjectLedger, StoredObject } from '../../ports/metadata/object-ledger.js';
import type { S3Bucket } from './client/s3-bucket.js';
import { isPassing, S3Error } from './client/s3-errors.js';
import type { BucketMarker } from './s3-marker.js';

const intervalMs = 60_000;
const pageSize = 1000;
const maxConcurrent = 16;
/** The delay before an object that the service refused to delete is tried again. */
const retryMs = 3_600_000;

/** The dependencies of `S3Trash`. */
export interface TrashParts {
  readonly bucket: Pick<S3Bucket, 'abortUpload' | 'delete' | 'deleteAll'>;
  readonly ledger: Pick<ObjectLedger, 'emptyTrash'>;
  readonly marker: Pick<BucketMarker, 'check'>;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

/** Deletes objects in the background when they are due. */
export class S3Trash {
  readonly #parts: TrashParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;
  /** Whether the service knows DeleteObjects. */
  #hasBatches = true;

  constructor(parts: TrashParts) {
    this.#parts = parts;
  }

  /** Deletes the objects that are due now, and every minute those that became due. */
  start(): void {
    const empty = (): void => void this.empty().catch(this.#parts.onError);
    this.#timer = setInterval(empty, intervalMs);
    this.#timer.unref();
    empty();
  }

  /** Deletes all objects that are due. */
  empty(): Promise<void> {
    this.#running ??= this.#empty().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running?.catch(() => undefined);
  }

  async #empty(): Promise<void> {
    const { ledger, now } = this.#parts;
    const due = { now: now(), limit: pageSize, retryAt: now() + retryMs };
    while (!this.#closed && (await ledger.emptyTrash(due, (objects) => this.#remove(objects))) > 0);
  }

  /**
   * Returns the keys of objects that the service refuses to delete. They wait, so that others are deleted.
   * @throws RegistryError UNAVAILABLE when the bucket belongs to another index now, which may have these objects
   */
  async #remove(objects: readonly StoredObject[]): Promise<ReadonlySet<string>> {
    const { bucket, marker, onError } = this.#parts;
    await marker.check();
    const unaborted = new Map<string, Error>();
    await forAll(objects, async ({ key, uploadId }) => {
      if (uploadId === undefined) return;
      await bucket.abortUpload(key, uploadId).catch((error: unknown) => noteRefusal(unaborted, key, error));
    });
    const keys = objects.map(({ key }) => key).filter((key) => !unaborted.has(key));
    const refused = new Map([...unaborted, ...(await this.#delete(keys))]);
    const [first] = refused.values();
    if (first !== undefined) onError(first);
    return new Set(refused.keys());
  }

  /** Deletes objects in one request where the service can. Returns those that it refuses to delete, and why. */
  async #delete(keys: readonly string[]): Promise<ReadonlyMap<string, Error>> {
    const { bucket } = this.#parts;
    if (keys.length === 0) return new Map();
    if (this.#hasBatches) {
      try {
        return await bucket.deleteAll(keys);
      } catch (error) {
        // A service that does not know DeleteObjects answers with various errors of the client.
        if (isPassing(error) || (error instanceof S3Error && error.status === 403)) throw error;
        this.#hasBatches = false;
      }
    }
    const refused = new Map<string, Error>();
    await forAll(keys, async (key) => {
      await bucket.delete(key).catch((error: unknown) => noteRefusal(refused, key, error));
    });
    return refused;
  }
}

/** Runs a task for each item, several at the same time. @throws the first error, after all running tasks have ended */
async function forAll<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const work = async (): Promise<void> => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await task(item);
  };
  const outcomes = await Promise.allSettled(Array.from({ length: maxConcurrent }, work));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}

/**
 * Returns a refusal of the service, so that other objects are still deleted. Throws other errors, such as a broken
 * connection.
 */
function noteRefusal(refused: Map<string, Error>, key: string, error: unknown): void {
  if (!(error instanceof S3Error)) throw error;
  refused.set(key, error);
}
