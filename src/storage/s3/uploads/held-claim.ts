import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ObjectLedger,
  SaveStagedOptions,
  StagedBytes,
  StagedState,
} from '../../../ports/metadata/object-ledger.js';
import { ConflictError } from '../../../util/conflict-error.js';

/** The dependencies of `HeldClaim`. */
export interface ClaimContext {
  readonly ledger: ObjectLedger;
  /** Identifies this store among those that share the ledger. */
  readonly owner: string;
  /** How long another process may hold an upload without progress. */
  readonly staleMs: number;
  /** How often to ask for an upload that another process holds. */
  readonly pollMs: number;
  readonly newKey: () => string;
  readonly now: () => number;
}

/** The options of waiting for an upload that another process holds. */
export interface WaitOptions {
  /** Takes the upload over at once. @default false */
  readonly isForced?: boolean;
  /** Ends the wait with the reason of the signal. */
  readonly signal: AbortSignal;
}

/** The number of heartbeats within `staleMs`. */
const beatsPerStale = 4;

/**
 * An upload that this process holds. Signals to the others that it makes progress, and stops when one of them has taken the
 * upload over.
 */
export class HeldClaim {
  #state: StagedState;
  readonly #ledger: ObjectLedger;
  readonly #timer: NodeJS.Timeout;
  readonly #lost = new AbortController();
  #hasProgress = false;
  #isWorking = false;
  #isHeld = true;

  private constructor(state: StagedState, { ledger, staleMs }: ClaimContext) {
    this.#state = state;
    this.#ledger = ledger;
    this.#timer = setInterval(() => void this.#beat(), staleMs / beatsPerStale);
    this.#timer.unref();
  }

  /** Claims an upload. Waits while another process holds it and makes progress. */
  static async take(context: ClaimContext, id: string, { isForced = false, signal }: WaitOptions): Promise<HeldClaim> {
    const { ledger, owner, newKey, now } = context;
    const staleMs = isForced ? 0 : context.staleMs;
    for (;;) {
      signal.throwIfAborted();
      const state = await ledger.claimStaged(id, { owner, key: newKey(), when: now(), staleMs });
      if (state !== undefined) return new HeldClaim(state, context);
      await sleep(context.pollMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** The upload as the claim found it, or as `rebase` left it. */
  get state(): StagedState {
    return this.#state;
  }

  /** Aborted with a ConflictError when another process has taken the upload over. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Notes that bytes arrived. Without progress, another process takes the upload over. */
  noteProgress(): void {
    this.#hasProgress = true;
  }

  /** Notes that this process works without waiting for a client: it keeps the upload until the claim ends. */
  work(): void {
    this.#isWorking = true;
  }

  /** Replaces the bytes of the upload. @throws ConflictError when another process has taken it over */
  async save(bytes: StagedBytes, options: SaveStagedOptions): Promise<void> {
    await this.#ledger.saveStaged(this.#state, bytes, options);
    if (options.isLast === true) this.#end();
  }

  /** Replaces the bytes of the upload with those to which further bytes are appended. */
  async rebase(bytes: StagedBytes, until: number): Promise<void> {
    await this.save(bytes, { until });
    this.#state = { ...bytes, id: this.#state.id, epoch: this.#state.epoch };
  }

  /** Ends the claim, unless the last save did. After a failure, others only have to wait. */
  async release(): Promise<void> {
    if (!this.#isHeld) return;
    this.#end();
    await this.#ledger.releaseStaged(this.#state).catch(() => undefined);
  }

  #end(): void {
    this.#isHeld = false;
    clearInterval(this.#timer);
  }

  async #beat(): Promise<void> {
    if (!this.#hasProgress && !this.#isWorking) return;
    this.#hasProgress = false;
    try {
      await this.#ledger.beatStaged(this.#state);
    } catch (error) {
      // Otherwise the index is unavailable for a moment.
      if (error instanceof ConflictError && this.#isHeld) this.#lost.abort(error);
    }
  }
}

/** Returns a signal that aborts when the source closes early. */
export function whileOpen(source: Readable): AbortSignal {
  const closed = new AbortController();
  const onClose = (): void => {
    if (!source.readableEnded) closed.abort(new Error('source closed early'));
  };
  if (source.destroyed) onClose();
  source.once('close', onClose);
  return closed.signal;
}
