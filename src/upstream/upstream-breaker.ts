import type { Logger } from '../ports/runtime.js';
import type { Upstream } from '../ports/upstream.js';
import { failed, type UpstreamVerdict } from '../protocol/upstream/verdict.js';
import { timeLeft } from '../protocol/recent.js';

const minFailuresToOpen = 5;
const minPauseMs = 10_000;
const maxPauseMs = 60_000;
/** A longer `Retry-After` is cut to this. */
const maxRetryAfterMs = 300_000;

/** Options of `Breaker`. */
export interface BreakerOptions {
  /** The upstream's host, for the log. */
  readonly upstream: string;
  readonly now: () => number;
  readonly log: Logger;
}

/** One admitted call. The caller must settle it. */
export interface Pass {
  /** Reports the outcome: `undefined` for success, `unknown` when it does not show the state of the upstream. */
  settle(verdict?: UpstreamVerdict | 'unknown'): void;
}

interface Pause {
  /** When the first of the pauses that follow each other began. */
  readonly openedAt: number;
  readonly until: number;
  readonly waitMs: number;
  /** The length of the next pause if the probe fails. */
  readonly nextMs: number;
  readonly cause: UpstreamVerdict;
}

/**
 * A circuit breaker. After 5 failures in a row (network, timeout, 5xx), calls fail at once during a pause of 10 s. Then it
 * admits one call at a time as a probe: success closes the breaker, and each failure doubles the pause, up to 60 s. A 429
 * with `Retry-After` pauses for that time, up to 5 minutes.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #failures = 0;
  #lastFailure: string | undefined;
  #pause: Pause | undefined;
  #probing = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** Returns the state for `Upstream.breaker`. */
  get status(): Upstream['breaker'] {
    const state = this.#pause === undefined ? 'closed' : this.#probing ? 'probing' : 'open';
    const pause = this.#pause;
    return {
      state,
      failures: this.#failures,
      ...(this.#lastFailure === undefined ? {} : { lastFailure: this.#lastFailure }),
      ...(pause === undefined ? {} : { openedAt: pause.openedAt }),
      ...(pause?.cause.fields.status === 429 ? { isLimited: true as const } : {}),
    };
  }

  /**
   * Admits a call that someone waits for, even during a pause. Its success ends the pause, unless a rate limit caused
   * it: an answer does not mean that the upstream would answer more requests.
   */
  force(): Pass {
    const isLimited = this.#pause?.cause.fields.status === 429;
    const pass = this.#pass(this.#pause !== undefined);
    return isLimited ? { settle: (verdict = 'unknown') => pass.settle(verdict) } : pass;
  }

  /** Admits a call. @throws UpstreamVerdict failed during a pause, with the reason of the pause. */
  enter(): Pass {
    const pause = this.#pause;
    if (pause === undefined) return this.#pass(false);
    const remainingMs = timeLeft(pause.until, pause.waitMs, this.#options.now());
    if (remainingMs === 0 && !this.#probing) {
      this.#probing = true;
      return this.#pass(true);
    }
    throw refusal(pause.cause, remainingMs);
  }

  #pass(probe: boolean): Pass {
    let settled = false;
    return {
      settle: (verdict) => {
        if (settled) return;
        settled = true;
        if (probe) this.#probing = false;
        // A call from before the pause does not show the upstream's present state, but its `Retry-After` still applies.
        if (!this.#limit(verdict) && (probe || this.#pause === undefined)) this.#judge(probe, verdict);
      },
    };
  }

  #limit(verdict: UpstreamVerdict | 'unknown' | undefined): boolean {
    if (verdict === undefined || verdict === 'unknown') return false;
    const { status, retryAfterSeconds } = verdict.fields;
    if (status !== 429 || retryAfterSeconds === undefined) return false;
    this.#lastFailure = verdict.message;
    this.#open(verdict, Math.min(retryAfterSeconds * 1000, maxRetryAfterMs), minPauseMs);
    return true;
  }

  #judge(probe: boolean, verdict: UpstreamVerdict | 'unknown' | undefined): void {
    if (verdict !== undefined && verdict !== 'unknown' && verdict.fields.trouble === true) {
      this.#failures += 1;
      this.#lastFailure = verdict.message;
      const waitMs = this.#pause?.nextMs ?? minPauseMs;
      if (probe || this.#failures >= minFailuresToOpen) this.#open(verdict, waitMs, Math.min(2 * waitMs, maxPauseMs));
    } else if (verdict === 'unknown' || verdict?.fields.status === 429) {
      // Inconclusive: the state does not change, and during a pause the next call is a probe again.
    } else {
      if (this.#pause !== undefined)
        this.#options.log.info({ upstream: this.#options.upstream }, 'circuit breaker closed');
      this.#failures = 0;
      this.#pause = undefined;
    }
  }

  #open(cause: UpstreamVerdict, waitMs: number, nextMs: number): void {
    const now = this.#options.now();
    this.#pause = { openedAt: this.#pause?.openedAt ?? now, until: now + waitMs, waitMs, nextMs, cause };
    const { upstream, log } = this.#options;
    log.warn({ upstream, reason: cause.message, waitMs }, 'circuit breaker opened');
  }
}

function refusal({ message, fields }: UpstreamVerdict, remainingMs: number): UpstreamVerdict {
  const limited = fields.retryAfterSeconds !== undefined;
  return failed(`requests are paused: ${message}`, {
    ...(fields.status === undefined ? {} : { status: fields.status }),
    ...(limited ? { retryAfterSeconds: Math.max(1, Math.ceil(remainingMs / 1000)) } : {}),
  });
}
