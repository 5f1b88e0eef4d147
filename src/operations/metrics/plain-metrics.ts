/** Counters and histograms as plain numbers, because requests pay for each label that prom-client looks up. */

/** The labels of a series, by name. */
export type Labels = Readonly<Record<string, string | number>>;

/** One line of a scrape. */
export interface Line {
  /** The name of the metric, with the suffix of a histogram. */
  readonly metricName: string;
  readonly labels: Labels;
  readonly value: number;
}

/** A metric that a scrape reads. */
export interface PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Returns the current values, the oldest series first. */
  lines(): Line[];
}

/** One number. It is 0 until the first event. */
export class PlainValue implements PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  value = 0;

  constructor(name: string, help: string, type: 'counter' | 'gauge' = 'counter') {
    this.name = name;
    this.help = help;
    this.type = type;
  }

  lines(): Line[] {
    return [{ metricName: this.name, labels: {}, value: this.value }];
  }
}

/** A counter with labels. */
export class PlainCounter<Label extends string> implements PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type = 'counter';
  readonly #labelNames: readonly Label[];
  readonly #series = new Map<string, { readonly labels: Labels; value: number }>();

  constructor(name: string, help: string, ...labelNames: readonly Label[]) {
    this.name = name;
    this.help = help;
    this.#labelNames = labelNames;
  }

  add(labels: Readonly<Record<Label, string | number>>, by = 1): void {
    const key = keyOf(this.#labelNames, labels);
    const series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, { labels, value: by });
    else series.value += by;
  }

  lines(): Line[] {
    return [...this.#series.values()].map(({ labels, value }) => ({ metricName: this.name, labels, value }));
  }
}

/** One series of a histogram. */
export class Tally {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** @param bounds the largest value of each bucket, ascending. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  add(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket += 1;
    if (bucket < bounds.length) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  /** Returns the buckets, each including the smaller ones, then the sum and the count. */
  lines(name: string, labels: Labels): Line[] {
    let below = 0;
    const buckets = this.#bounds.map((le, i) => {
      below += this.#counts[i] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: this.#count },
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ];
  }
}

/** A histogram with labels. */
export class PlainHistogram<Label extends string> implements PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type = 'histogram';
  readonly #bounds: readonly number[];
  readonly #labelNames: readonly Label[];
  readonly #series = new Map<string, { readonly labels: Labels; readonly tally: Tally }>();

  /** @param bounds the largest value of each bucket, ascending. */
  constructor(name: string, help: string, bounds: readonly number[], ...labelNames: readonly Label[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
    this.#labelNames = labelNames;
  }

  /** Returns the series with these labels. It is in each scrape from now on. */
  series(labels: Readonly<Record<Label, string | number>>): Tally {
    const key = keyOf(this.#labelNames, labels);
    let series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, (series = { labels, tally: new Tally(this.#bounds) }));
    return series.tally;
  }

  lines(): Line[] {
    return [...this.#series.values()].flatMap(({ labels, tally }) => tally.lines(this.name, labels));
  }
}

function keyOf<Label extends string>(
  names: readonly Label[],
  labels: Readonly<Record<Label, string | number>>,
): string {
  let key = '';
  for (const name of names) key += `${labels[name]}\n`;
  return key;
}
