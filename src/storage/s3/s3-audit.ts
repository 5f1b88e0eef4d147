import type { AuditState, ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';
import { isRecent } from '../../protocol/recent.js';
import type { ListedObject, S3Bucket } from './client/s3-bucket.js';

const checkMs = 3_600_000;
const intervalMs = 7 * 24 * 3_600_000;
/** The minimum age of an unknown object: a younger one may be about to be named. */
const minAgeMs = 2 * 24 * 3_600_000;

/** The dependencies of `S3Audit`. */
export interface AuditParts {
  readonly bucket: S3Bucket;
  readonly ledger: ObjectLedger;
  readonly now: () => number;
  /** When an object that nothing names is deleted. */
  readonly trashAt: () => number;
  /** Called for a blob whose object does not exist. */
  readonly onMissing: (digest: Digest, key: string) => Promise<unknown>;
  /** Called with objects that are not in the index. They are deleted later. */
  readonly onUnknown: (keys: readonly string[]) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Compares the bucket with the index each week, step by step, so that it can resume where it stopped. Several processes may do
 * the same step: the result is the same.
 */
export class S3Audit {
  readonly #parts: AuditParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** Asks each hour whether an audit is due. */
  start(): void {
    const run = (): void => void this.run().catch(this.#parts.onError);
    this.#timer = setInterval(run, checkMs);
    this.#timer.unref();
  }

  /** Runs the rest of the audit if it is due. */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running?.catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { ledger, now } = this.#parts;
    const { auditSteps: steps } = ledger;
    // Keys are random, so each step has about the same number of them.
    const { length: digits } = (steps - 1).toString(16);
    for (let state = await ledger.audit(); !this.#closed && isDue(state, steps, now()); state = await ledger.audit()) {
      const step = state === undefined || state.step >= steps ? 0 : state.step;
      await this.#compare(`o/${step.toString(16).padStart(digits, '0')}`);
      await ledger.saveAudit(state, { step: step + 1, at: now() });
    }
  }

  async #compare(prefix: string): Promise<void> {
    const { bucket, ledger, now, trashAt, onMissing, onUnknown } = this.#parts;
    const known = await this.#known(prefix);
    const suspects: string[] = [];
    for await (const object of bucket.list(prefix)) {
      if (!known.delete(object.key) && isOld(object, now())) suspects.push(object.key);
    }
    // The upload of an object may have ended while the index was read.
    const later = suspects.length === 0 ? known : await this.#known(prefix);
    const unknown = suspects.filter((key) => !later.has(key));
    for (const key of unknown) await ledger.reserve({ key }, trashAt());
    if (unknown.length > 0) onUnknown(unknown);
    // Each is looked up again: it may be newer than the list.
    for (const [key, digest] of known) {
      if (digest !== undefined && (await bucket.head(key)) === undefined) await onMissing(digest, key);
    }
  }

  async #known(prefix: string): Promise<Map<string, Digest | undefined>> {
    const known = new Map<string, Digest | undefined>();
    for await (const { key, digest } of this.#parts.ledger.objects(prefix)) known.set(key, digest);
    return known;
  }
}

function isDue(state: AuditState | undefined, steps: number, now: number): boolean {
  return state === undefined || state.step < steps || !isRecent(state.at, intervalMs, now);
}

function isOld({ modifiedAt }: ListedObject, now: number): boolean {
  return now - modifiedAt >= minAgeMs;
}
