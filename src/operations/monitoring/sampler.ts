import { setTimeout as sleep } from 'node:timers/promises';
import type { Sample, SampleStep, Statistics } from '../../ports/operations/monitoring.js';
import type { BlobStore } from '../../ports/bytes.js';
import type { Change, MetadataStore } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import { isInsufficientStorage } from '../../protocol/errors.js';
import { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { Leases } from '../../util/scheduling/leases.js';
import { addActivity, dayMs, hourMs, joinDays, withStored, type StoredFigures, type Totals } from './sample-sums.js';

/** The dependencies of a sampler. */
export interface SamplerParts {
  readonly metadata: Pick<MetadataStore, 'samples' | 'apply' | 'shared'>;
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  /** Returns the activity in each repository since its counts began. */
  readonly totals: () => Promise<ReadonlyMap<string, Totals>>;
  /** Returns the content of each repository. Takes long with many images. */
  readonly stored: () => Promise<ReadonlyMap<string, StoredFigures>>;
}

/** A crash loses the counts of this interval. */
const intervalMs = 300_000;
const keptHoursMs = 31 * dayMs;
const keptDaysMs = 2 * 366 * dayMs;
/** The number of times that a record waits for the record of another process, and the pause in between. */
const maxAttempts = 50;
const pauseMs = 100;
/** How long a reading of what is stored is reused. */
const storedMaxAgeMs = 60_000;

/** Records the figures of each hour, and combines old hours into days. A process has one instance. */
export class Sampler implements Statistics {
  readonly #parts: SamplerParts;
  readonly #turns = new KeyedMutex();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Samples that are not written yet, by the time of their hour. */
  readonly #pending = new Map<number, Sample>();
  #current: Sample | undefined;
  #before: ReadonlyMap<string, Totals> = new Map();
  #stored: ReadonlyMap<string, StoredFigures> = new Map();
  #storedAt = -Infinity;
  #joinedTo = 0;

  readonly #leases: Leases;

  constructor(parts: SamplerParts) {
    this.#parts = parts;
    this.#leases = new Leases(parts.metadata.shared);
  }

  /** Starts the timer. Does nothing else, so that the registry starts quickly. */
  start(): void {
    if (this.#isClosed) return;
    // A reading right after each hour keeps the counts of two hours apart.
    const untilHour = hourMs - (this.#parts.runtime.now() % hourMs);
    const again = (): void => void this.record().then(() => this.start());
    this.#timer = setTimeout(again, Math.min(intervalMs, untilHour)).unref();
  }

  /** Stops the timer and writes the counts since the last record. Writes nothing if it was not started. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    await this.#turns.run('', () => this.#record(false));
  }

  /** Writes the sample of the current hour. Never rejects, because nothing depends on it. */
  record(): Promise<void> {
    return this.#turns.run('', () => this.#record(true));
  }

  async read(step: SampleStep, since: number): Promise<readonly Sample[]> {
    const { metadata } = this.#parts;
    const range = { since: startOf(step === 'hour' ? hourMs : dayMs, since), before: Infinity };
    const hours = new Map<number, Sample>();
    await this.#turns.run('', async () => {
      // The counts of other processes are only in the index. Those of this process are added to it at the next record.
      if (metadata.shared === undefined) await this.#update(true);
      for (const sample of await metadata.samples.read('hour', range)) hours.set(sample.at, sample);
      for (const [at, sample] of this.#pending) if (at >= range.since) hours.set(at, sample);
    });
    const sorted = [...hours.values()].sort((a, b) => a.at - b.at);
    return step === 'hour' ? sorted : joinDays([...(await metadata.samples.read('day', range)), ...sorted]);
  }

  async #record(isComplete: boolean): Promise<void> {
    const { metadata, runtime } = this.#parts;
    try {
      if (metadata.shared === undefined) await this.#write(isComplete);
      else await this.#writeInTurn(isComplete);
    } catch (err) {
      if (!isInsufficientStorage(err)) runtime.log.warn({ err }, 'failed to record statistics');
    }
  }

  /** Adds the counts of this process to the samples of all processes. */
  async #writeInTurn(isComplete: boolean): Promise<void> {
    const before = this.#before;
    const write = async (): Promise<void> => {
      this.#pending.clear();
      this.#current &&= await this.#load(this.#current.at);
      await this.#write(isComplete);
    };
    try {
      for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
        if ((await this.#leases.run('statistics', write)) !== undefined) return;
        await sleep(pauseMs, undefined, { ref: false });
      }
    } catch (error) {
      // Counted again the next time.
      this.#before = before;
      this.#pending.clear();
      throw error;
    }
  }

  async #write(isComplete: boolean): Promise<void> {
    const { blobs, metadata } = this.#parts;
    await this.#update(isComplete);
    const samples = [...this.#pending.values()].filter(isUsed);
    if (samples.length === 0) return;
    // Kept in memory while the disk is full: the figures are not worth the reserve.
    await blobs.ensureRoom(0);
    const puts = samples.map((sample): Change => ({ type: 'sample.put', step: 'hour', sample }));
    await metadata.apply([...puts, ...(isComplete ? await this.#joinOld() : [])], { durable: false });
    this.#pending.clear();
  }

  /** Adds the activity since the last reading to the hour of that reading, and begins the current hour. */
  async #update(withStoredFigures: boolean): Promise<void> {
    const { runtime, totals } = this.#parts;
    const hour = startOf(hourMs, runtime.now());
    const counted = await totals();
    let sample = addActivity(this.#current ?? (await this.#load(hour)), this.#before, counted);
    this.#before = counted;
    this.#pending.set(sample.at, sample);
    if (sample.at !== hour) sample = await this.#load(hour);
    if (withStoredFigures) sample = withStored(sample, await this.#readStored());
    this.#current = sample;
    this.#pending.set(hour, sample);
  }

  /** Returns the sample of an hour, which an earlier process may have begun. */
  async #load(at: number): Promise<Sample> {
    const [known] = await this.#parts.metadata.samples.read('hour', { since: at, before: at + 1 });
    return this.#pending.get(at) ?? known ?? { at, repositories: {} };
  }

  async #readStored(): Promise<ReadonlyMap<string, StoredFigures>> {
    const now = this.#parts.runtime.now();
    if (Math.abs(now - this.#storedAt) >= storedMaxAgeMs) {
      this.#stored = await this.#parts.stored();
      this.#storedAt = now;
    }
    return this.#stored;
  }

  /** Returns the changes that combine old hours into days, once a day, and that remove old days. */
  async #joinOld(): Promise<readonly Change[]> {
    const { metadata, runtime } = this.#parts;
    const before = startOf(dayMs, runtime.now() - keptHoursMs);
    if (before <= this.#joinedTo) return [];
    const hours = await metadata.samples.read('hour', { since: 0, before });
    const days = await metadata.samples.read('day', { since: 0, before: before + keptHoursMs - keptDaysMs });
    this.#joinedTo = before;
    return [
      ...joinDays(hours).map((sample): Change => ({ type: 'sample.put', step: 'day', sample })),
      ...hours.map(({ at }): Change => ({ type: 'sample.delete', step: 'hour', when: at })),
      ...days.map(({ at }): Change => ({ type: 'sample.delete', step: 'day', when: at })),
    ];
  }
}

function startOf(lengthMs: number, at: number): number {
  return Math.floor(at / lengthMs) * lengthMs;
}

function isUsed({ repositories }: Sample): boolean {
  return Object.keys(repositories).length > 0;
}
