import type {
  ClaimOptions,
  ObjectLedger,
  StagedState,
  StoredObject,
  TrashDue,
} from '../../src/ports/metadata/object-ledger.js';

/** Claims an upload as `owner`. @throws Error when another process holds it. */
export async function claim(
  ledger: ObjectLedger,
  id: string,
  key: string,
  options: Partial<ClaimOptions> = {},
): Promise<StagedState> {
  const found = await ledger.claimStaged(id, { owner: 'owner', key, when: 7, staleMs: hour, ...options });
  if (found === undefined) throw new Error(`another process holds ${id}`);
  return found;
}
/** Milliseconds in an hour. */
export const hour = 3_600_000;

/** Returns the options with which `emptyTrash` deletes up to a number of objects. */
export const due = (now: number, limit: number): TrashDue => ({ now, limit, retryAt: now + 50 });

/** Returns a function that deletes objects for `emptyTrash` and notes them. */
export const removing =
  (removed: StoredObject[] = []) =>
  async (objects: readonly StoredObject[]): Promise<ReadonlySet<string>> => {
    removed.push(...objects);
    return new Set();
  };
