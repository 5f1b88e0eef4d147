import type { PullRecord, Pulls } from '../../../ports/metadata/pulls.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import type { LevelIndex } from '../level-index.js';
import { manifestKey, rangeEnd, type Place } from '../level-keys.js';
import { pullsKey, pullsPrefix } from '../level-ordered-keys.js';
import { decodeValue, type LevelView } from '../level-view.js';

/** Days of pulls that are kept. */
const maxDays = 30;
const dayMs = 24 * 3_600_000;

/** Adds pulls to the record of a manifest. Does nothing when the image lacks the manifest. */
export function countPulls(view: LevelView, place: Place, digest: Digest, count: number, when: number): void {
  if (view.get(manifestKey(place, digest)) === undefined) return;
  const key = pullsKey(place, digest);
  const before = view.get(key);
  const day = Math.floor(when / dayMs);
  const known = before?.days ?? [];
  const isKnown = count === 0 || known.some((one) => one.day === day);
  const days = isKnown
    ? known.map((one) => (one.day === day ? { day, count: one.count + count } : one))
    : [...known, { day, count }].sort((a, b) => a.day - b.day);
  view.put(key, {
    digest,
    lastAt: Math.max(before?.lastAt ?? 0, when),
    total: (before?.total ?? 0) + count,
    days: days.filter((one) => one.day > (days.at(-1)?.day ?? day) - maxDays),
  });
}

type ReadPlace = <T>(at: ImageKey, work: (place: Place, index: LevelIndex) => T | Promise<T>) => Promise<T | undefined>;

/** Reads the counts of pulls. */
export class LevelPulls implements Pulls {
  readonly #read: ReadPlace;

  /** @param read reads from the disk, or returns `undefined` when the repository does not exist. */
  constructor(read: ReadPlace) {
    this.#read = read;
  }

  get(at: ImageKey, digest: Digest): Promise<PullRecord | undefined> {
    return this.#read(at, (place, index) => index.get(pullsKey(place, digest)));
  }

  async list(at: ImageKey): Promise<readonly PullRecord[]> {
    const found = await this.#read(at, (place, index) => {
      const prefix = pullsPrefix(place);
      // Only records of pulls are stored under this prefix.
      const decode = (_key: string, text: string): PullRecord => decodeValue(text) as PullRecord;
      return index.scan({ gt: prefix, lt: rangeEnd(prefix) }, Infinity, decode);
    });
    return found ?? [];
  }
}
