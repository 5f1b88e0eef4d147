import type { Sample, Samples, SampleStep } from '../../../ports/operations/monitoring.js';
import { sampleKey } from '../level-ordered-keys.js';
import { decodeValue } from '../level-view.js';
import type { ReadIndex } from './level-inventory.js';

/** Reads the samples of the past. */
export class LevelSamples implements Samples {
  readonly #read: ReadIndex;

  /** @param read reads from the disk. */
  constructor(read: ReadIndex) {
    this.#read = read;
  }

  read(
    step: SampleStep,
    { since, before }: { readonly since: number; readonly before: number },
  ): Promise<readonly Sample[]> {
    const range = { gte: sampleKey(step, since), lt: sampleKey(step, before) };
    // Only samples are stored under these keys.
    return this.#read((index) => index.scan(range, Infinity, (_key, text) => decodeValue(text) as Sample));
  }
}
