import { PlainHistogram, type PlainMetric } from './plain-metrics.js';

/** Coarse, because each bucket is a series. */
const seconds = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];
const changes = [1, 10, 100, 1000];

/** A timed call of the blob store. The names are those of distribution as far as it has the call. */
export type StorageAction = 'Stat' | 'Reader' | 'Writer' | 'Commit' | 'Settle' | 'Move' | 'Delete';

/** The durations of store operations. */
export class StorageTimings {
  readonly #driver: string;
  readonly #actions = new PlainHistogram(
    'registry_storage_action_seconds',
    'Time of calls of the blob store',
    seconds,
    'driver',
    'action',
  );
  readonly #writes = new PlainHistogram(
    'artifactapi_index_write_seconds',
    'Time from a write to the index until it is done',
    seconds,
    'durable',
  );
  readonly #changes = new PlainHistogram('artifactapi_index_write_changes', 'Changes of a write to the index', changes);
  readonly #durable = this.#writes.series({ durable: 'true' });
  readonly #volatile = this.#writes.series({ durable: 'false' });
  readonly #sizes = this.#changes.series({});

  /** @param driver names the kind of blob store. */
  constructor(driver: string) {
    this.#driver = driver;
  }

  get metrics(): readonly PlainMetric[] {
    return [this.#actions, this.#writes, this.#changes];
  }

  /** Returns a function that counts a call of the blob store by the seconds that it took. */
  acted(action: StorageAction): (took: number) => void {
    const tally = this.#actions.series({ driver: this.#driver, action });
    return (took) => tally.add(took);
  }

  /** Counts a write to the index. */
  wrote(durable: boolean, size: number, took: number): void {
    (durable ? this.#durable : this.#volatile).add(took);
    this.#sizes.add(size);
  }
}
