import type { Logger } from '../ports/runtime.js';
import type { Upstream } from '../ports/upstream.js';
import { failed, type UpstreamVerdict } from '../protocol/upstream/verdict.js';

const failuresToOpen = 5;
const firstPauseMs = 10_000;
const longestPauseMs = 60_000;
/** However long an upstream asks us to stay away, we look again after this. */
const longestLimitMs = 300_000;

export interface BreakerOptions {
  /** For the log. */
  readonly upstream: string;
  readonly now: () => number;
  readonly log: Logger;
}

/** One admitted call; it must be settled, exactly once. */
export interface Pass {
  /** With what the call ended: nothing when it was answered well, `unknown` when it cannot be told. */
  settle(verdict?: UpstreamVerdict | 'unknown'): void;
}

interface Pause {
  readonly until: number;
  /** How long the next one lasts when the probe at its end fails. */
  readonly nextMs: number;
  readonly why: UpstreamVerdict;
}

/**
 * Stops asking an upstream that is in trouble. After 5 failures in a row (network, timeout, 5xx) calls fail at once; after
 * 10 s, doubling to 60 s, one call at a time is let through as a probe, and what it finds decides. A 429 with `Retry-After`
 * pauses until then, 5 minutes at most.
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

  /** As the port shows it. */
  get status(): Upstream['breaker'] {
    const state = this.#pause === undefined ? 'closed' : this.#probing ? 'probing' : 'open';
    const failures = this.#failures;
    return this.#lastFailure === undefined ? { state, failures } : { state, failures, lastFailure: this.#lastFailure };
  }

  /** @throws UpstreamVerdict failed, with the reason of the pause, while the upstream is not to be asked. */
  enter(): Pass {
    const pause = this.#pause;
    if (pause === undefined) return this.#pass(false);
    const leftMs = pause.until - this.#options.now();
    if (leftMs <= 0 && !this.#probing) {
      this.#probing = true;
      return this.#pass(true);
    }
    throw refusal(pause.why, leftMs);
  }

  #pass(probe: boolean): Pass {
    let settled = false;
    return {
      settle: (verdict) => {
        if (settled) return;
        settled = true;
        if (probe) this.#probing = false;
        // A call from before the pause says nothing about the upstream as it is now, but a limit it was told holds.
        if (!this.#limit(verdict) && (probe || this.#pause === undefined)) this.#judge(probe, verdict);
      },
    };
  }

  #limit(verdict: UpstreamVerdict | 'unknown' | undefined): boolean {
    if (verdict === undefined || verdict === 'unknown') return false;
    const { status, retryAfterSeconds } = verdict.fields;
    if (status !== 429 || retryAfterSeconds === undefined) return false;
    this.#lastFailure = verdict.message;
    this.#open(verdict, Math.min(retryAfterSeconds * 1000, longestLimitMs), firstPauseMs);
    return true;
  }

  #judge(probe: boolean, verdict: UpstreamVerdict | 'unknown' | undefined): void {
    if (verdict !== undefined && verdict !== 'unknown' && verdict.fields.trouble === true) {
      this.#failures += 1;
      this.#lastFailure = verdict.message;
      const waitMs = this.#pause?.nextMs ?? firstPauseMs;
      if (probe || this.#failures >= failuresToOpen) this.#open(verdict, waitMs, Math.min(2 * waitMs, longestPauseMs));
    } else if (verdict === 'unknown' || verdict?.fields.status === 429) {
      // It lives, but this is no time to let everybody through: the next call is a probe again.
    } else {
      if (this.#pause !== undefined) this.#options.log.info({ upstream: this.#options.upstream }, 'upstream is back');
      this.#failures = 0;
      this.#pause = undefined;
    }
  }

  #open(why: UpstreamVerdict, waitMs: number, nextMs: number): void {
    this.#pause = { until: this.#options.now() + waitMs, nextMs, why };
    const { upstream, log } = this.#options;
    log.warn({ upstream, reason: why.message, waitMs }, 'circuit breaker opened');
  }
}

function refusal({ message, fields }: UpstreamVerdict, leftMs: number): UpstreamVerdict {
  const limited = fields.retryAfterSeconds !== undefined;
  return failed(`not asked again yet: ${message}`, {
    ...(fields.status === undefined ? {} : { status: fields.status }),
    ...(limited ? { retryAfterSeconds: Math.max(1, Math.ceil(leftMs / 1000)) } : {}),
  });
}
