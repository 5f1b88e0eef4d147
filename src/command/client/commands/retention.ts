import type { Command } from 'commander';
import type { CommandIo } from '../../command-io.js';
import type { ApiClient, Document } from '../api-client.js';
import { addClientCommand, addConsentFlags, type ConsentFlags, type Run } from '../client-command.js';
import { confirm, requireTerminal } from '../confirm.js';
import type { Column } from '../format.js';
import { failureOf, waitForJob } from '../job-progress.js';

/** The columns of a plan. */
export const planColumns: readonly Column[] = [
  ['image', ({ repository, image }) => `${String(repository)}/${String(image)}`],
  ['tag', 'tag'],
  ['digest', 'digest', 'digest'],
  ['because', 'because'],
  ['last used', 'last_used_at', 'time'],
];

const resultColumns: readonly Column[] = [
  ['job', 'id'],
  ['tags deleted', ({ report }) => (report as Document)['tags_deleted']],
  ['manifests deleted', ({ report }) => (report as Document)['manifests_deleted']],
  ['skipped', ({ report }) => (report as Document)['skipped']],
];

/** Adds `retention`, which carries out the policies of the configuration. */
export function addRetentionCommand(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'retention [names...]',
      description:
        'Delete what the retention policies do not keep, after showing the plan; names are patterns of images',
      summary: 'Delete what the retention policies do not keep',
      examples: [
        'artifactapi retention --dry-run',
        "artifactapi retention 'local/ci/**' --yes",
        'artifactapi retention --config registry.yaml --dry-run',
      ],
      flags: addConsentFlags,
    },
    async (run: Run<ConsentFlags>, names) => {
      const { client, output, flags } = run;
      const request = { kind: 'retention', ...(names.length === 0 ? {} : { names }) };
      if (flags.dryRun === true || flags.yes !== true) {
        if (flags.dryRun !== true) requireTerminal(io);
        const planned = await runJob(client, { ...request, dry_run: true }, io);
        const hasPolicies = (planned['report'] as Document)['policies'] !== 0;
        const nothing = hasPolicies ? 'nothing to delete' : 'no retention policies are configured';
        await output.list(listPlan(client, String(planned['id'])), planColumns, nothing);
        if (flags.dryRun === true || !hasPolicies) return;
        await confirm('Carry out this plan?', false, io);
      }
      let job = await runJob(client, request, io);
      // The first run of changed policies, and one that deletes much of an image, wait for a person, who has agreed.
      if (job['state'] === 'waiting') {
        await client.request('job.confirm', { params: { job: String(job['id']) } });
        job = await waitForJob(client, String(job['id']), io);
      }
      output.document(job, resultColumns);
      const failure = failureOf(job);
      if (failure !== undefined) throw failure;
    },
  );
}

/** Returns the items of the plan of a job. */
export function listPlan(client: ApiClient, job: string): AsyncGenerator<Document> {
  return client.list('job.plan', 'items', { params: { job } });
}

/** Starts a job and waits for its end. @throws CommandError if it failed. */
async function runJob(client: ApiClient, document: object, io: CommandIo): Promise<Document> {
  const { id } = await client.request('job.start', { document });
  const job = await waitForJob(client, String(id), io);
  const failure = job['state'] === 'failed' || job['state'] === 'cancelled' ? failureOf(job) : undefined;
  if (failure !== undefined) throw failure;
  return job;
}
