import type { RegistryOptions } from '../../options/generated/registry-options.js';
import { resolveOptions } from '../../options/resolve-options.js';
import type { MigrationProblem } from '../../ports/operations/migration.js';
import type { RebuildOptions, RebuildReport } from '../../ports/operations/rebuild.js';
import type { Runtime } from '../../ports/runtime.js';
import { recordImages } from '../../repositories/migration/registry-import.js';
import { foundImage, keepUnused, noteRebuild, ObjectScan } from '../../storage/rebuild/rebuilds.js';
import { Closers } from '../../util/closers.js';
import { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { openRebuildTarget } from './rebuild-target.js';

const by = { principal: 'storage-rebuild', via: 'system' } as const;

/**
 * Fills an empty index from the bytes in its storage. Continues a rebuild that was interrupted.
 * @param registry the options of the registry, which must not run.
 * @throws OptionsError; the errors of `openRebuildTarget`; the reason of the signal.
 */
export async function rebuildStorage(
  registry: RegistryOptions,
  options: RebuildOptions,
  runtime: Runtime,
): Promise<RebuildReport> {
  const { repository, image, hasTags, dryRun, signal } = options;
  const resolved = resolveOptions(registry);
  const startedAt = runtime.now();
  const closers = new Closers();
  try {
    const { metadata, ledger, source, formerStore } = await openRebuildTarget(resolved, options, runtime, closers);
    const scan = new ObjectScan();
    await scan.run(source.objects(ledger), options);
    const incomplete: MigrationProblem[] = [];
    const { manifests, tags } = await recordImages(
      { metadata, blobs: scan, runtime, digestLocks: new KeyedMutex() },
      foundImage(image, scan, hasTags),
      { repository, dryRun, by, signal, onProblem: (problem) => incomplete.push(problem) },
    );
    const finishedAt = runtime.now();
    if (!dryRun) {
      const until = finishedAt + resolved.garbageCollection.orphanRetentionSeconds * 1000;
      // In a data folder, such content has no candidate and is quarantined.
      if (typeof resolved.storage !== 'string') await keepUnused(metadata, scan.found.keys(), until);
      await noteRebuild(metadata, { startedAt, finishedAt });
    }
    await closers.close();
    const { objects, bytes } = scan;
    const damaged = scan.damaged.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const counts = { objects, bytes, blobs: scan.found.size - scan.manifests.size, manifests, tags };
    return { startedAt, finishedAt, dryRun, repository, image, ...counts, incomplete, damaged, formerStore };
  } catch (error) {
    return closers.undo(error);
  }
}
