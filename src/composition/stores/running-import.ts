import { realpath, stat } from 'node:fs/promises';
import { BoundaryError } from '../../archives/folders/foreign-file.js';
import { NoRegistryError, openRegistryFolder } from '../../archives/folders/registry-folder.js';
import type {
  ImportFolder,
  MigrationOptions,
  MigrationProblem,
  MigrationReport,
} from '../../ports/operations/migration.js';
import { RegistryError } from '../../protocol/errors.js';
import { findTarget } from '../../repositories/migration/import-target.js';
import { importRegistry, type MigrationParts } from '../../repositories/migration/registry-import.js';
import { isWithin } from '../../util/paths.js';
import { areOnOneDisk, FolderOverlapError, refuseNested } from './folder-import.js';

/** The dependencies of an import into a running registry. */
export interface RunningImportParts extends MigrationParts {
  /** The data folder; absent for stores that the host application passed in. */
  readonly data: string | undefined;
}

/** Returns a function that imports the folder of another registry into this one while it runs. */
export function importRunning(
  parts: RunningImportParts,
): (folder: ImportFolder, options: MigrationOptions) => Promise<MigrationReport> {
  return async (folder, options) => {
    await findTarget(parts.metadata, options.repository);
    const { root, source } = await findSource(folder);
    const hide = hidePaths(
      [source, folder.name],
      [root, 'the folder for imports'],
      [parts.data ?? source, 'the data folder'],
    );
    const { log } = parts.runtime;
    const onProblem = (problem: MigrationProblem): void => {
      log.warn({ folder: source, ...problem }, 'import problem');
      options.onProblem?.({ ...problem, message: hide(problem.message) });
    };
    try {
      if (parts.data !== undefined) await refuseNested(root, parts.data);
      const registry = await openRegistryFolder(source, root);
      const copy = options.copy === true || (options.dryRun === true && !(await canLink(source, parts.data)));
      const report = await importRegistry(parts, registry, { ...options, copy, onProblem });
      log.info({ folder: source, ...report }, 'import completed');
      return report;
    } catch (error) {
      throw toRefusal(error, hide);
    }
  };
}

/** Returns the real paths of the first candidate that exists. @throws RegistryError CONFLICT. */
async function findSource({ name, candidates }: ImportFolder): Promise<{ root: string; source: string }> {
  for (const candidate of candidates) {
    const found = await stat(candidate.source).catch(() => undefined);
    if (found?.isDirectory() !== true) continue;
    const [root, source] = [await realpath(candidate.root), await realpath(candidate.source)];
    if (isWithin(root, source)) return { root, source };
    throw new RegistryError('CONFLICT', { message: `"${name}" leads out of the folder that imports.folders names` });
  }
  throw new RegistryError('CONFLICT', { message: `"${name}" is not a folder` });
}

async function canLink(source: string, data: string | undefined): Promise<boolean> {
  return data === undefined || areOnOneDisk(source, data);
}

/** Returns a function that replaces paths in a text, because those who may see a job may not know the disk. */
function hidePaths(...names: readonly (readonly [file: string, shown: string])[]): (text: string) => string {
  // A path may be the beginning of another one.
  const sorted = names.toSorted(([a], [b]) => b.length - a.length);
  return (text) => sorted.reduce((shown, [file, name]) => shown.replaceAll(file, name), text);
}

function toRefusal(error: unknown, hide: (text: string) => string): unknown {
  if (error instanceof RegistryError) {
    const { code, message, status, detail } = error;
    return new RegistryError(code, { message: hide(message), status, detail, cause: error });
  }
  const isForPeople = [NoRegistryError, FolderOverlapError, BoundaryError].some((kind) => error instanceof kind);
  return isForPeople && error instanceof Error
    ? new RegistryError('CONFLICT', { message: hide(error.message), cause: error })
    : error;
}
