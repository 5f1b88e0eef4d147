import type { Command } from 'commander';
import type { CommandIo } from '../../command-io.js';
import type { Document } from '../api-client.js';
import { addClientCommand, addCommandGroup, collect, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { failureOf, formatJobProgress, waitForJob } from '../job-progress.js';
import { parseSetting } from '../settings.js';
import { listPlan, planColumns } from './retention.js';

interface StartFlags {
  readonly dryRun?: true;
  readonly set?: readonly string[];
  readonly wait?: true;
}

const jobColumns: readonly Column[] = [
  ['id', 'id'],
  ['state', 'state'],
  ['dry run', 'dry_run', 'flag'],
  ['progress', describeProgress],
  ['started', 'started_at', 'time'],
  ['finished', 'finished_at', 'time'],
  ['by', ({ by }) => nameOf(by)],
];

/** Adds `jobs` with its commands. */
export function addJobCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'jobs', 'List, start, watch and cancel jobs');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description: 'List running jobs and the last ones of each kind, the latest first',
      examples: ['artifactapi jobs', 'artifactapi jobs list --kind garbage --json'],
      flags: (command) => void command.option('--kind <kind>', 'only jobs of this kind'),
      isDefault: true,
    },
    ({ client, output, flags: { kind } }: Run<{ readonly kind?: string }>) =>
      output.list(client.list('job.list', 'jobs', { query: { kind } }), jobColumns, 'no jobs'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'show <job>',
      description: 'Show a job and its report; --wait shows its progress until it ends',
      examples: ['artifactapi jobs show garbage-4f0c2a91d3b7 --wait'],
      flags: addWaitFlag,
    },
    async (run: Run<{ readonly wait?: true }>, job) => {
      if (run.flags.wait === true) return finish(run, job);
      printJob(run, await run.client.request('job.get', { params: { job } }));
    },
  );
  addStartingCommands(group, io);
  addClientCommand(
    group,
    io,
    {
      usage: 'plan <job>',
      description: 'List what the plan of a retention job deletes, and why',
      examples: ['artifactapi jobs plan retention-4f0c2a91d3b7'],
    },
    ({ client, output }, job) => output.list(listPlan(client, job), planColumns, 'the plan is empty'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'cancel <job>',
      description: 'Cancel a job that runs or waits, or delete the record of one that ended',
      examples: ['artifactapi jobs cancel garbage-4f0c2a91d3b7'],
    },
    async ({ client, output }, job) => {
      const cancelled = await client.request('job.delete', { params: { job } });
      const isDeleted = Object.keys(cancelled).length === 0;
      output.done(isDeleted ? `deleted the record of ${job}` : `cancelling ${job}`, isDeleted ? undefined : cancelled);
    },
  );
}

function addStartingCommands(group: Command, io: CommandIo): void {
  addClientCommand(
    group,
    io,
    {
      usage: 'start <kind>',
      description: 'Start a job; --wait shows its progress until it ends',
      examples: ['artifactapi jobs start garbage --wait', 'artifactapi jobs start garbage --dry-run'],
      flags: (command) => {
        command
          .option('--dry-run', 'change nothing, and report what would change')
          .option('--set <name=value>', 'parameter of the job, in snake case; may be repeated', collect);
        addWaitFlag(command);
      },
    },
    async (run: Run<StartFlags>, kind) => {
      const { dryRun, set = [], wait } = run.flags;
      const document = {
        kind,
        ...(dryRun === true ? { dry_run: true } : {}),
        ...Object.fromEntries(set.map(parseSetting)),
      };
      const started = await run.client.request('job.start', { document });
      await afterStart(run, started, wait === true);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'confirm <job>',
      description: 'Carry out the plan of a job that waits for a confirmation',
      examples: ['artifactapi jobs confirm retention-4f0c2a91d3b7 --wait'],
      flags: addWaitFlag,
    },
    async (run: Run<{ readonly wait?: true }>, job) => {
      const confirmed = await run.client.request('job.confirm', { params: { job } });
      await afterStart(run, confirmed, run.flags.wait === true);
    },
  );
}

function addWaitFlag(command: Command): void {
  command.option(
    '--wait',
    'wait until the job has ended; exit with 1 if it failed, or with 3 if it was only partly done',
  );
}

async function afterStart(run: Run, job: Document, isAwaited: boolean): Promise<void> {
  if (isAwaited) await finish(run, String(job['id']));
  else run.output.done(`started job ${String(job['id'])}`, job);
}

/**
 * Starts a job, shows its progress until it ends, and prints it.
 * @param print prints the job. Default: its fields and those of its report.
 * @throws CommandError with exit code 1 if it failed, and 3 if it was only partly done.
 */
export async function startAndWait(run: Run, document: object, print?: (job: Document) => void): Promise<void> {
  const { id } = await run.client.request('job.start', { document });
  await finish(run, String(id), print);
}

async function finish(run: Run, id: string, print = (job: Document): void => printJob(run, job)): Promise<void> {
  const job = await waitForJob(run.client, id, run.io);
  print(job);
  const failure = failureOf(job);
  if (failure !== undefined) throw failure;
}

/** Fields of a report that the job has too. */
const repeatedFields: ReadonlySet<string> = new Set(['dry_run', 'started_at', 'finished_at']);

/** Shows a job with the fields of its report, which depend on its kind. */
export function printJob({ output }: Run, job: Document): void {
  const { report } = job as { readonly report?: Document };
  const reported = Object.entries(report ?? {})
    .filter(([field]) => !repeatedFields.has(field))
    .map(([field, value]): Column => [field.replaceAll('_', ' '), () => value, kindOf(field, value)]);
  output.document(job, [...jobColumns, ['error', 'error'], ...reported]);
}

function kindOf(field: string, value: unknown): NonNullable<Column[2]> {
  if (typeof value === 'boolean') return 'flag';
  if (field.endsWith('_at')) return 'time';
  return /(?:^|_)bytes(?:_|$)/.test(field) ? 'bytes' : 'text';
}

function describeProgress(job: Document): string | undefined {
  return job['state'] === 'running' ? formatJobProgress(job, Date.now()) : undefined;
}

function nameOf(actor: unknown): unknown {
  return typeof actor === 'object' && actor !== null && 'principal' in actor ? actor.principal : actor;
}
