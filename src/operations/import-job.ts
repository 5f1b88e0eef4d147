import path from 'node:path';
import type { JobKind } from '../ports/operations/jobs.js';
import type {
  ImportFolder,
  MigrationOptions,
  MigrationProblem,
  MigrationReport,
} from '../ports/operations/migration.js';
import { RegistryError } from '../protocol/errors.js';
import { importParamsSchema, parseParams } from '../protocol/tables/documents/job-documents.js';
import { isWithin } from '../util/paths.js';
import { maxReported } from './backup-job.js';

/** The number of tags of a problem that a report of a job lists. The log lists all. */
const maxTags = 20;

/** The dependencies of an import job. */
export interface ImportJobParts {
  /** The folders that may be read, with everything in them. */
  readonly folders: () => readonly string[];
  /** @throws RegistryError whose message contains no other path than the given one. */
  readonly run: (folder: ImportFolder, options: MigrationOptions) => Promise<MigrationReport>;
}

/** The parameters of an import. */
export interface ImportParams {
  readonly folder: string;
  readonly repository: string;
  readonly copy: boolean;
  readonly verify: boolean;
}

/**
 * Creates the kind of job that imports the folder of another registry. A new process starts an interrupted one again.
 */
export function createImportJob({ folders, run }: ImportJobParts): JobKind<ImportParams> {
  return {
    kind: 'import',
    isResumable: true,
    parse: (params) => {
      const parsed = parseParams(importParamsSchema, params);
      findImportFolder(folders(), parsed.folder);
      return parsed;
    },
    run: async ({ params: { folder, ...params }, dryRun, by, signal, progress, save }) => {
      const problems: object[] = [];
      const report = await run(findImportFolder(folders(), folder), {
        ...params,
        dryRun,
        by,
        signal,
        onProgress: ({ done, total }) => progress({ done, total, unit: 'images' }),
        onProblem: (problem) => {
          if (problems.length < maxReported) problems.push(toEntry(problem));
        },
        // The imported content is the state. This only records that the job makes progress.
        onStored: () => save({}),
      });
      const { startedAt: _start, finishedAt: _end, dryRun: _dryRun, problems: problemCount, ...counts } = report;
      return {
        state: problemCount > 0 ? 'partly' : 'succeeded',
        report: { folder, ...counts, problemCount, problems },
      };
    },
  };
}

/**
 * Finds the possible locations of a folder that an import names.
 * @param name an absolute path, or one below any of the folders.
 * @throws RegistryError DENIED when no folder is configured; OPTIONS_INVALID for a path outside of them.
 */
function findImportFolder(folders: readonly string[], name: string): ImportFolder {
  if (folders.length === 0) {
    const message =
      'imports are not configured: name the folders that may be read in the option imports.folders, or import into the stopped data folder with the command';
    throw new RegistryError('DENIED', { message });
  }
  const candidates = folders.flatMap((folder) => {
    const root = path.resolve(folder);
    const source = path.resolve(root, name);
    return isWithin(root, source) ? [{ root, source }] : [];
  });
  if (candidates.length > 0) return { name, candidates };
  const problem = 'must be a path inside a folder that imports.folders names';
  throw new RegistryError('OPTIONS_INVALID', { detail: [{ path: 'folder', problem }] });
}

function toEntry({ image, tags, manifest, blob, problem, message }: MigrationProblem): object {
  return {
    image,
    tags: tags.slice(0, maxTags),
    ...(manifest === undefined ? {} : { manifest }),
    ...(blob === undefined ? {} : { blob }),
    problem,
    message,
  };
}
