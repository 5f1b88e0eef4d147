import type { RegistryOptions } from '../../options/generated/registry-options.js';
import { resolveOptions } from '../../options/resolve-options.js';
import type { WorkOptions } from '../../ports/operations/backup.js';
import type { Runtime } from '../../ports/runtime.js';
import type { CopyReport } from '../../ports/operations/storage-copies.js';
import { Closers } from '../../util/closers.js';
import { openStores } from './open-stores.js';

/**
 * Copies a data folder or a backup into the storage of a registry that is not running.
 * @param options those of the registry that will use the storage.
 * @throws OptionsError; Error when the storage is a data folder, or as `StorageCopies.copyFrom` does.
 */
export async function copyToStorage(
  source: string,
  options: RegistryOptions,
  runtime: Runtime,
  work: WorkOptions,
): Promise<CopyReport> {
  const { storage, reserveBytes } = resolveOptions(options);
  const closers = new Closers();
  try {
    const stores = await openStores({ storage, reserveBytes, acceptEmptyIndex: false }, runtime, closers);
    if (stores.copies === undefined)
      throw new Error('the target has no bucket: to copy to another data folder, restore a backup');
    const report = await stores.copies.copyFrom(source, work);
    await closers.close();
    return report;
  } catch (error) {
    return closers.undo(error);
  }
}
