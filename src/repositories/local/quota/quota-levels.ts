import type { Quota } from '../../../ports/metadata/quotas.js';

/** Percentages of a quota that are reported. */
const reportedPercents = [80, 95] as const;

type Percent = (typeof reportedPercents)[number];

/** Finds when the use of a quota crosses a reported percentage, once for each crossing. */
export class QuotaLevels {
  readonly #levels = new Map<string, number>();

  /** Notes the use before a write: after deletions, the next crossing is reported again. */
  lower({ name, maxBytes }: Quota, usedBytes: number): void {
    const level = levelOf(usedBytes, maxBytes);
    this.#levels.set(name, Math.min(this.#levels.get(name) ?? level, level));
  }

  /** Returns the percentages that were crossed since. */
  raise({ name, maxBytes }: Quota, usedBytes: number): readonly Percent[] {
    const level = levelOf(usedBytes, maxBytes);
    const before = this.#levels.get(name) ?? level;
    if (level > before) this.#levels.set(name, level);
    return reportedPercents.filter((percent) => percent > before && percent <= level);
  }
}

function levelOf(usedBytes: number, maxBytes: number): number {
  return reportedPercents.findLast((percent) => usedBytes * 100 >= percent * maxBytes) ?? 0;
}
