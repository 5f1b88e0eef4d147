import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { openRegistryFolder } from '../../archives/folders/registry-folder.js';
import { optionsSchema } from '../../options/options-schema.js';
import type { MigrationOptions, MigrationReport } from '../../ports/operations/migration.js';
import type { Runtime } from '../../ports/runtime.js';
import { PushLeases } from '../../repositories/content/push-leases.js';
import { discardLeftovers } from '../../repositories/content/transient-staging.js';
import { OnlineGarbageCollector } from '../../repositories/garbage/garbage-collector.js';
import { findTarget } from '../../repositories/migration/import-target.js';
import { importRegistry } from '../../repositories/migration/registry-import.js';
import { Closers } from '../../util/closers.js';
import { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { openStores, type Stores } from './open-stores.js';

/** One of two folders is inside the other. */
export class FolderOverlapError extends Error {
  override readonly name = 'FolderOverlapError';
}

/** An import into the data folder of a stopped registry. */
export interface FolderImportOptions extends MigrationOptions {
  /** The data folder of the other registry. */
  readonly source: string;
  /** Our data folder, which must exist. */
  readonly data: string;
}

/**
 * Imports the data folder of another stopped registry into ours. Continues an import that was interrupted.
 * @throws Error before anything of the other registry is read when a folder is not what it should be, when our registry
 * runs, or when the repository is not local.
 */
export async function importRegistryFolder(
  { source, data, ...options }: FolderImportOptions,
  runtime: Runtime,
): Promise<MigrationReport> {
  await checkDataFolder(data);
  if ((await stat(source).catch(() => undefined))?.isDirectory() !== true) throw new Error(`${source} is not a folder`);
  await refuseNested(source, data);
  const registry = await openRegistryFolder(await realpath(source));
  const closers = new Closers();
  try {
    const settings = { storage: data, reserveBytes: await reserveBytesOf(data), acceptEmptyIndex: false };
    const stores = await openStores(settings, runtime, closers);
    await findTarget(stores.metadata, options.repository);
    const digestLocks = new KeyedMutex();
    if (options.dryRun !== true) await tidy(stores, digestLocks, runtime);
    const copy = options.copy === true || (options.dryRun === true && !(await areOnOneDisk(source, data)));
    const report = await importRegistry({ ...stores, digestLocks, runtime }, registry, { ...options, copy });
    await closers.close();
    return report;
  } catch (error) {
    return closers.undo(error);
  }
}

/** Finishes what a crash of the registry, or of an import, may have left. */
async function tidy(stores: Stores, digestLocks: KeyedMutex, runtime: Runtime): Promise<void> {
  const { graceSeconds, orphanRetentionSeconds, uploadExpirySeconds } = optionsSchema.shape.garbageCollection.parse({});
  const collector = new OnlineGarbageCollector({
    ...stores,
    digestLocks,
    runtime,
    sessionLocks: new KeyedMutex(),
    leases: new PushLeases(() => runtime.now()),
    graceMs: graceSeconds * 1000,
    orphanRetentionMs: orphanRetentionSeconds * 1000,
    uploadExpiryMs: uploadExpirySeconds * 1000,
    onDeleted: () => {},
  });
  // Condemned bytes could not be imported.
  await collector.recover();
  await discardLeftovers({ ...stores, runtime });
}

/** Opening a folder that is not ours would create an index there. */
async function checkDataFolder(folder: string): Promise<void> {
  const found = await stat(path.join(folder, 'index')).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new Error(
    `${folder} is not a data folder: it has no index. Check --data, or start the registry once, which creates the folder`,
  );
}

/** Returns the size of the disk reserve, so that it stays as the registry's configuration wants it. */
async function reserveBytesOf(folder: string): Promise<number> {
  return stat(path.join(folder, 'reserve')).then(
    ({ size }) => size,
    () => 0,
  );
}

/**
 * Compares folders by device and inode, because a folder can have several paths.
 * @throws FolderOverlapError
 */
export async function refuseNested(source: string, data: string): Promise<void> {
  for (const [inner, outer] of [
    [source, data],
    [data, source],
  ] as const) {
    const sought = await identify(outer);
    const real = await realpath(inner);
    for (let folder = real, below = ''; folder !== below; below = folder, folder = path.dirname(folder)) {
      if ((await identify(folder)) !== sought) continue;
      throw new FolderOverlapError(`${source} and ${data} overlap: neither may be inside the other`);
    }
  }
}

async function identify(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true });
  return `${dev}:${ino}`;
}

/** Returns whether files of one folder can be linked into the other. */
export async function areOnOneDisk(one: string, other: string): Promise<boolean> {
  return (await stat(one)).dev === (await stat(other)).dev;
}
