import { setImmediate } from 'node:timers/promises';
import { takeTurns } from './turns.js';

const runLength = 10_000;

/**
 * Sorts items by name (ASCII, in byte order) and keeps one item per name. Lets other requests run meanwhile: sorting a
 * whole list of an upstream would block them. Sorted lists cost little.
 */
export async function sortInTurns<T>(items: readonly T[], nameOf: (item: T) => string): Promise<T[]> {
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += runLength) {
    runs.push(items.slice(at, at + runLength).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)));
    await setImmediate();
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let i = 0; i < runs.length; i += 2) merged.push(await merge(runs[i] ?? [], runs[i + 1] ?? [], nameOf));
    runs = merged;
  }
  // `at` is above 0 here, so the item exists.
  return (runs[0] ?? []).filter((item, at, all) => at === 0 || nameOf(item) !== nameOf(all[at - 1] as T));
}

async function merge<T>(left: T[], right: T[], nameOf: (item: T) => string): Promise<T[]> {
  const [lastLeft, firstRight] = [left.at(-1), right[0]];
  if (lastLeft === undefined || firstRight === undefined || nameOf(lastLeft) <= nameOf(firstRight)) {
    return left.concat(right);
  }
  const turn = takeTurns();
  const merged: T[] = [];
  for (let [l, r] = [0, 0]; l < left.length || r < right.length;) {
    const pause = turn();
    if (pause !== undefined) await pause;
    // The indexes are below the lengths, here and in the next line.
    const isLeft = r >= right.length || (l < left.length && nameOf(left[l] as T) <= nameOf(right[r] as T));
    merged.push((isLeft ? left[l++] : right[r++]) as T);
  }
  return merged;
}
