/** The operations of operators: jobs, collection, events, figures, syncs, webhooks and upstreams. */
import type { Job, Jobs, PlannedItem, ReadPlan } from '../../../ports/operations/jobs.js';
import type { PlanDocument } from '../../../protocol/documents/activity.js';
import {
  decodeJobRequest,
  encodeJob,
  encodePlannedItem,
  jobNotFound,
} from '../../../protocol/tables/documents/job-documents.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import { readDocument } from '../../bodies/document.js';
import { problemsFound } from '../../../protocol/tables/documents/encoding.js';
import type { Exchange, Handler } from '../../exchange.js';
import { jsonReply, type Reply } from '../../reply.js';
import { nextLink, pageOf } from '../distribution/discovery.js';

type JobOp = Extract<ManagementOp, `job.${string}`>;
type JobHandlers = { readonly [O in JobOp]: Handler<ManagementParams<O>> };

const maxPageSize = 1000;

/** Creates the handlers of jobs. */
export function createJobHandlers(jobs: () => Jobs, readPlan: ReadPlan): JobHandlers {
  const find = async (id: string): Promise<Job> => known(id, await jobs().get(id));
  return {
    'job.list': async (exchange) => {
      const { limit } = pageOf(exchange, maxPageSize);
      const found = await jobs().list({ kind: exchange.query.get('kind') ?? undefined, limit });
      return jsonReply(200, { jobs: found.map(encodeJob) });
    },
    'job.start': async ({ caller, req, body, prefix }) => {
      const job = await jobs().start(decodeJobRequest(await readDocument({ req, body })), caller.actor);
      return accepted(job, prefix);
    },
    'job.get': async ({ params }) => jsonReply(200, encodeJob(await find(params.job))),
    'job.plan': async (exchange) => listPlan(known(exchange.params.job, readPlan(exchange.params.job)), exchange),
    'job.delete': async ({ caller, params, prefix }) => {
      const removed = known(params.job, await jobs().remove(params.job, caller.actor));
      return removed === 'deleted' ? { status: 204 } : accepted(await find(params.job), prefix);
    },
    'job.confirm': async ({ caller, params, prefix }) =>
      accepted(known(params.job, await jobs().confirm(params.job, caller.actor)), prefix),
  };
}

function listPlan(plan: readonly PlannedItem[], { path, query }: Exchange<unknown>): Reply {
  const { limit, after } = pageOf({ query }, maxPageSize);
  const start = after === undefined ? 0 : Number(after);
  if (!Number.isSafeInteger(start) || start < 0) throw problemsFound([{ path: 'last', problem: 'must be a number' }]);
  const items = plan.slice(start, start + limit);
  const end = start + items.length;
  const headers = end < plan.length && limit > 0 ? nextLink(path, query, String(end), limit) : {};
  const document: PlanDocument = { total: plan.length, items: items.map(encodePlannedItem) };
  return jsonReply(200, document, headers);
}

/** @throws RegistryError NOT_FOUND for an unknown job. */
function known<T>(id: string, found: T | undefined): T {
  if (found === undefined) throw jobNotFound(id);
  return found;
}

function accepted(job: Job, prefix: string): Reply {
  return jsonReply(202, encodeJob(job), { Location: `${prefix}/api/v1/jobs/${job.id}` });
}
