/** Problems of work and limits: jobs, quotas, upstreams, webhooks, backups that hold garbage. */
import type { DeletionHolds } from '../../ports/operations/garbage.js';
import type { Job, Jobs } from '../../ports/operations/jobs.js';
import type { QuotaAdministration } from '../../ports/metadata/quotas.js';
import type { ProblemSource, RegistryProblem } from '../../ports/operations/status.js';
import type { Upstream } from '../../ports/upstream.js';
import type { WebhookRecord, Webhooks } from '../../ports/operations/webhooks.js';
import { formatSize } from '../../protocol/format-bytes.js';

/** The upstream of a repository. */
interface NamedUpstream {
  readonly repository: string;
  readonly upstream: Pick<Upstream, 'host' | 'breaker' | 'refusedCredentials'>;
}

/** The dependencies of the sources. */
export interface WorkProblemParts {
  readonly jobs: Pick<Jobs, 'list'>;
  readonly quotas: Pick<QuotaAdministration, 'list'>;
  readonly holds: Pick<DeletionHolds, 'isHeld'>;
  readonly upstreams: () => readonly NamedUpstream[];
  readonly webhooks: Pick<Webhooks, 'list'>;
}

/** The part of a quota from which it is nearly used up. */
const nearlyFull = 0.8;

/** Creates the sources for work and limits. */
export function createWorkSources(parts: WorkProblemParts): readonly ProblemSource[] {
  const { jobs, quotas, holds, upstreams, webhooks } = parts;
  return [
    { name: 'jobs', find: async () => findJobProblems(await jobs.list({ limit: Infinity })) },
    { name: 'quotas', find: () => findQuotaProblems(quotas) },
    { name: 'upstreams', find: async () => upstreams().flatMap(findUpstreamProblems) },
    { name: 'webhooks', find: async () => (await webhooks.list()).flatMap(findWebhookProblems) },
    {
      name: 'backups',
      find: async () => (holds.isHeld ? [heldBy(await jobs.list({ kind: 'backup', limit: 1 }))] : []),
    },
  ];
}

/** Reports the last job of each kind if it failed, and all plans that wait. */
function findJobProblems(jobs: readonly Job[]): readonly RegistryProblem[] {
  const problems: RegistryProblem[] = [];
  const seen = new Set<string>();
  for (const job of jobs) {
    const { id: where, kind, state, finishedAt: sinceAt, error } = job;
    if (state === 'waiting') {
      problems.push({
        kind: 'job-waiting',
        severity: 'warning',
        what: `the plan of a ${kind} job waits for a confirmation`,
        where,
        sinceAt,
        advice: `look at it with "artifactapi jobs plan ${where}", then confirm or cancel the job`,
      });
    }
    // A dry run changes nothing, and a sync has its own job for each of its parameters.
    if (job.dryRun || state === 'running' || state === 'cancelled') continue;
    const subject = `${kind} ${JSON.stringify(kind === 'sync' ? job.params : '')}`;
    if (seen.has(subject)) continue;
    seen.add(subject);
    const advice = `see its report with "artifactapi jobs show ${where}", and start the job again`;
    if (state === 'failed') {
      const what = `the last ${kind} job failed${error === undefined ? '' : `: ${error}`}`;
      problems.push({ kind: 'job-failed', severity: 'error', what, where, sinceAt, advice });
    } else if (state === 'partly') {
      const what = `the last ${kind} job is done, but found problems`;
      problems.push({ kind: 'job-partly', severity: 'warning', what, where, sinceAt, advice });
    }
  }
  return problems;
}

async function findQuotaProblems(quotas: WorkProblemParts['quotas']): Promise<readonly RegistryProblem[]> {
  const full = (await quotas.list()).filter(({ usedBytes, maxBytes }) => usedBytes >= nearlyFull * maxBytes);
  return full.map(({ name, usedBytes, maxBytes }) => {
    const isOver = usedBytes >= maxBytes;
    return {
      kind: isOver ? 'quota-full' : 'quota-nearly-full',
      severity: isOver ? 'error' : 'warning',
      what: `${formatSize(usedBytes)} of ${formatSize(maxBytes)} are used${isOver ? ': pushes are refused' : ''}`,
      where: name,
      advice: 'delete tags that are no longer needed, or raise the quota',
    };
  });
}

function findUpstreamProblems({ repository, upstream }: NamedUpstream): readonly RegistryProblem[] {
  const { host, breaker, refusedCredentials } = upstream;
  const problems: RegistryProblem[] = [];
  if (refusedCredentials !== undefined) {
    problems.push({
      kind: 'credentials-refused',
      severity: 'error',
      what: `${host} refuses the credentials: ${refusedCredentials.reason}`,
      where: repository,
      sinceAt: refusedCredentials.sinceAt,
      advice: 'replace the credentials of the repository: images that are not cached cannot be pulled',
    });
  }
  if (breaker.state === 'closed') return problems;
  const { isLimited, openedAt: sinceAt, lastFailure } = breaker;
  const paused = `requests to ${host} are paused`;
  problems.push({
    kind: isLimited === true ? 'upstream-limited' : 'upstream-failing',
    severity: 'warning',
    what: lastFailure === undefined ? paused : `${paused}: ${lastFailure}`,
    where: repository,
    sinceAt,
    advice:
      isLimited === true
        ? 'configure credentials with a higher rate limit, or a longer tag_ttl_seconds; cached images are served'
        : 'check the upstream and the way to it; cached images are served, and requests try it again',
  });
  return problems;
}

function findWebhookProblems({ config: { name }, status }: WebhookRecord): readonly RegistryProblem[] {
  const { failingSinceAt: sinceAt, lastStatus, lastError, pending } = status;
  if (sinceAt === undefined) return [];
  const reason = lastStatus === undefined ? lastError : `the receiver answered ${lastStatus}`;
  return [
    {
      kind: 'webhook-failing',
      severity: 'warning',
      what: `deliveries fail${reason === undefined ? '' : `: ${reason}`}; events that wait: ${pending}`,
      where: name,
      sinceAt,
      advice: `check the receiver with "artifactapi webhooks test ${name}", and see "artifactapi webhooks deliveries ${name}"`,
    },
  ];
}

function heldBy([backup]: readonly Job[]): RegistryProblem {
  const job = backup?.state === 'running' ? backup : undefined;
  return {
    kind: 'garbage-held',
    severity: 'notice',
    what: 'a backup is copying blobs: no space is freed until it has finished',
    where: job?.id,
    sinceAt: job?.startedAt,
    advice: 'wait, or cancel the job if the disk runs full',
  };
}
