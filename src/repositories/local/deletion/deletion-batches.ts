/** Manifests or tags that one write deletes. */
const batchSize = 100;

/** Splits a deletion into writes. The journal marks a whole write as an override, so other deletions are not in it. */
export function batchesOf<T>(items: readonly T[], isOverridden: (item: T) => boolean): readonly (readonly T[])[] {
  const batches: T[][] = [];
  let wasOverridden: boolean | undefined;
  for (const item of items) {
    const batch = batches.at(-1);
    const now = isOverridden(item);
    if (batch === undefined || batch.length === batchSize || now !== wasOverridden) batches.push([item]);
    else batch.push(item);
    wasOverridden = now;
  }
  return batches;
}
