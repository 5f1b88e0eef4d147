import { LRUCache } from 'lru-cache';
import type { RefusedCredentials } from '../../ports/upstream.js';
import { failed, UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import { timeLeft } from '../../protocol/recent.js';

/** The outcome of a request with our credentials: its result, and the verdict if it was not a good answer. */
export interface TrialOutcome<T> {
  readonly result: T;
  readonly verdict?: UpstreamVerdict | undefined;
}

/** Options of `CredentialTrials`. */
export interface TrialOptions {
  readonly now: () => number;
  /** Called when credentials are refused. */
  readonly onRefused: (verdict: UpstreamVerdict) => void;
}

/** The outcome of a trial for those who waited for it: a verdict if it showed nothing about the credentials. */
interface Trial {
  readonly verdict?: UpstreamVerdict | undefined;
  /** Whether another trial makes sense: the upstream answered, and did not ask to wait. */
  readonly mayRepeat?: boolean;
}

interface Refusal {
  readonly until: number;
  readonly verdict: UpstreamVerdict;
}

/** How long refused credentials are not sent again, and how long accepted ones need no trial. */
const memoryMs = 60_000;
/** Answers that show nothing about the credentials, after which a waiting request gives up. */
const maxTrials = 3;
const maxEntries = 1000;

/**
 * Protects an account from being locked. Credentials that an upstream refused are not sent again for a minute. While it is
 * unknown whether credentials are valid, one request tries them and the others wait for its outcome. A 401 refuses them for
 * everything; a 403 only for the image, because valid credentials may lack a permission. An answer that shows nothing, such as
 * a 500 for one image, leaves the trial to the next request.
 */
export class CredentialTrials {
  readonly #options: TrialOptions;
  // With `max`, lru-cache allocates all entries at once, for each upstream.
  readonly #refusals = new LRUCache<string, Refusal>({ maxSize: maxEntries, sizeCalculation: () => 1 });
  readonly #acceptedUntil = new LRUCache<string, number>({ maxSize: maxEntries, sizeCalculation: () => 1 });
  readonly #running = new Map<string, Promise<Trial>>();
  /** The credentials that were refused last with 401, and not accepted since. */
  #refused: (RefusedCredentials & { readonly value: string }) | undefined;

  constructor(options: TrialOptions) {
    this.#options = options;
  }

  /**
   * Returns the verdict on credentials that were refused within the last minute.
   * @param value of `Authorization`.
   */
  findRefusal(value: string, image: string): UpstreamVerdict | undefined {
    const now = this.#options.now();
    const refusal = [this.#refusals.get(value), this.#refusals.get(`${value}\0${image}`)].find(
      (one) => one !== undefined && timeLeft(one.until, memoryMs, now) > 0,
    );
    if (refusal === undefined) return undefined;
    const seconds = Math.ceil((refusal.until - now) / 1000);
    const { message, fields } = refusal.verdict;
    return failed(`${message}; they are tried again in ${seconds} s, or when they change`, fields);
  }

  /** Returns since when credentials are refused with 401. */
  refusedAsWhole(value: string): RefusedCredentials | undefined {
    const refused = this.#refused;
    return refused?.value === value ? { reason: refused.reason, sinceAt: refused.sinceAt } : undefined;
  }

  /**
   * Sends a request with credentials. Returns `undefined`, without sending it, when they were refused in the meantime.
   * @throws UpstreamVerdict failed, without sending it, when the requests that tried the credentials failed. The circuit
   * breaker does not count it, because nothing was sent.
   */
  async run<T>(value: string, image: string, send: () => Promise<TrialOutcome<T>>): Promise<T | undefined> {
    if (this.findRefusal(value, image) !== undefined) return undefined;
    for (let trials = 1; timeLeft(this.#acceptedUntil.get(value) ?? 0, memoryMs, this.#options.now()) === 0; trials++) {
      const running = this.#running.get(value);
      if (running === undefined) return this.#try(value, image, send);
      const { verdict, mayRepeat = false } = await running;
      if (verdict !== undefined && (!mayRepeat || trials >= maxTrials)) throw withoutTrouble(verdict);
      if (this.findRefusal(value, image) !== undefined) return undefined;
    }
    const { result, verdict } = await send();
    this.#note(value, image, verdict);
    return result;
  }

  async #try<T>(value: string, image: string, send: () => Promise<TrialOutcome<T>>): Promise<T> {
    let finish: (trial: Trial) => void = () => {};
    this.#running.set(value, new Promise((resolve) => (finish = resolve)));
    let shared: Trial = {};
    try {
      const { result, verdict } = await send();
      if (isInconclusive(verdict)) shared = { verdict, mayRepeat: verdict?.fields.status !== 429 };
      this.#note(value, image, verdict);
      return result;
    } catch (error) {
      if (error instanceof UpstreamVerdict) shared = { verdict: error };
      throw error;
    } finally {
      this.#running.delete(value);
      finish(shared);
    }
  }

  #note(value: string, image: string, verdict: UpstreamVerdict | undefined): void {
    if (isInconclusive(verdict)) return;
    const status = verdict?.fields.status;
    const now = this.#options.now();
    if (status === 401) this.#acceptedUntil.delete(value);
    else this.#acceptedUntil.set(value, now + memoryMs);
    if (status !== 401) this.#refused = undefined;
    else if (this.#refused?.value !== value) {
      this.#refused = { value, reason: verdict?.message ?? '', sinceAt: now };
    }
    if (verdict === undefined || (status !== 401 && status !== 403)) return;
    this.#refusals.set(status === 401 ? value : `${value}\0${image}`, { until: now + memoryMs, verdict });
    this.#options.onRefused(verdict);
  }
}

/** Returns whether the outcome shows nothing about the credentials: neither a good answer nor a refusal. */
function isInconclusive(verdict: UpstreamVerdict | undefined): boolean {
  return verdict !== undefined && verdict.fields.status !== 401 && verdict.fields.status !== 403;
}

function withoutTrouble({ type, message, fields }: UpstreamVerdict): UpstreamVerdict {
  const { trouble: _counted, ...kept } = fields;
  return new UpstreamVerdict(type, message, kept);
}
