/** `artifactapi import-registry`: imports the data folder of another registry. */
import path from 'node:path';
import type { Command } from 'commander';
import type { FolderImportOptions } from '../../composition/stores/folder-import.js';
import type { MigrationProblem, MigrationReport } from '../../ports/operations/migration.js';
import { plainLogger } from '../../util/plain-log.js';
import { WorkLine } from '../backup/work-line.js';
import type { Document } from '../client/api-client.js';
import { runConnected, type Run } from '../client/client-command.js';
import { printJob, startAndWait } from '../client/commands/jobs.js';
import type { ConnectionFlags } from '../client/connection.js';
import { explainFailure, reportFailure, usageError, type CommandIo } from '../command-io.js';
import { formatJobReport, formatProblem, formatReport, toDocument } from './migration-report.js';

interface Flags extends ConnectionFlags {
  readonly into: string;
  readonly copy?: true;
  readonly verify?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

const refused = 1;
const partlyDone = 3;

/** Adds `import-registry`. */
export function addImportRegistryCommand(program: Command, io: CommandIo): void {
  program
    .command('import-registry')
    .description('Import the data folder of a stopped registry: CNCF distribution (registry:2, registry:3) or zot')
    .argument(
      '<folder>',
      'data folder of the other registry, such as /var/lib/registry; it is not changed. Of a running registry: inside one of its option imports.folders',
    )
    .requiredOption('--into <repository>', 'local repository that receives the images')
    .option('--data <folder>', 'data folder of this registry if it is stopped (default: ./data)')
    .option('--url <url>', 'URL of this registry if it is running: imports in a job (default: $ARTIFACTAPI_URL)')
    .option('--user <name:password>', 'login at the running registry')
    .option('--copy', 'copy the files instead of linking them')
    .option('--verify', 'hash every blob before it is added; manifests are always hashed')
    .option('--dry-run', 'report what an import would do and which problems it would find; write nothing')
    .option('--json', 'print one JSON document; with --url, the job')
    .action((folder: string, flags: Flags) => {
      if (flags.data !== undefined && flags.url !== undefined) {
        const error = usageError('--url names a running registry, --data a stopped one: use one');
        return reportFailure(io, () => Promise.reject(error));
      }
      const isRunning = flags.url !== undefined || (io.env['ARTIFACTAPI_URL'] ?? '') !== '';
      if (flags.data !== undefined || !isRunning) return importFolder(folder, flags);
      return reportFailure(io, () => runConnected(io, flags, (run) => importByJob(run, folder)));
    });
}

/** Lets a running registry import a folder of its machine. */
async function importByJob(run: Run<Flags>, folder: string): Promise<void> {
  const { into: repository, copy, verify, dryRun } = run.flags;
  const document = { kind: 'import', folder, repository, copy, verify, dry_run: dryRun };
  await startAndWait(run, document, (job) => {
    const { report } = job as { readonly report?: Document };
    if (report === undefined || run.output.isJson) printJob(run, job);
    else run.io.stdout.write(formatJobReport(report, dryRun === true));
  });
}

async function importFolder(folder: string, flags: Flags): Promise<void> {
  const line = new WorkLine(process.stderr);
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error('stopped: run the command again to continue'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const problems: MigrationProblem[] = [];
  const onProblem = (problem: MigrationProblem): void => {
    if (flags.json === true) return void problems.push(problem);
    line.end();
    process.stdout.write(formatProblem(problem));
  };
  try {
    // Loaded on demand, for a faster start of the other commands.
    const { importRegistryFolder } = await import('../../composition/stores/folder-import.js');
    const { createRuntime } = await import('../../composition/runtime.js');
    const report = await importRegistryFolder(
      { ...optionsOf(folder, flags), signal: stop.signal, onProblem, onProgress: showProgress(line) },
      createRuntime(plainLogger),
    );
    line.end();
    print(report, folder, flags, problems);
    process.exitCode = report.problems > 0 ? partlyDone : 0;
  } catch (error) {
    line.end();
    process.stderr.write(`artifactapi: ${explainFailure(error)}\n`);
    process.exitCode = refused;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}

function optionsOf(folder: string, { into, data = './data', copy, verify, dryRun }: Flags): FolderImportOptions {
  const by = { principal: 'import-registry', via: 'system' } as const;
  return { source: path.resolve(folder), data: path.resolve(data), repository: into, copy, verify, dryRun, by };
}

function showProgress(line: WorkLine): FolderImportOptions['onProgress'] {
  return ({ phase, done, total = 0, bytes }) =>
    line.show({ phase: `${phase} ${done} of ${total} images`, done, bytes });
}

function print(report: MigrationReport, folder: string, { json }: Flags, problems: readonly MigrationProblem[]): void {
  if (json === true) process.stdout.write(`${JSON.stringify(toDocument(report, folder, problems))}\n`);
  else process.stdout.write(formatReport(report, folder));
}
