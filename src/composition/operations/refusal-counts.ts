import type { RefusalCounts, ReportRefusal, Runtime } from '../../ports/runtime.js';
import { refusalReasons, type RefusalReason } from '../../protocol/refusal-reasons.js';

/** Counts refused clients for the health report. */
export class Refusals {
  readonly #counts = new Map<RefusalReason, number>(refusalReasons.map((reason) => [reason, 0]));
  readonly #runtime: Pick<Runtime, 'emit'>;

  constructor(runtime: Pick<Runtime, 'emit'>) {
    this.#runtime = runtime;
  }

  /** Counts a refused client and emits `client.refused`. */
  readonly report: ReportRefusal = (reason, address) => {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    this.#runtime.emit('client.refused', { reason, address });
  };

  /** Returns the number of refused clients for each reason. */
  counts(): RefusalCounts {
    // The map holds every reason from the start.
    return Object.fromEntries(this.#counts) as RefusalCounts;
  }
}
