import { eventsQuery, jobPageQuery, planPageQuery } from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/** Operations of the management API for jobs and the journal. */
export const jobEndpoints = [
  {
    op: 'job.list',
    method: 'GET',
    path: '/api/v1/jobs',
    access: 'monitor',
    spec: 'artifactapi',
    query: jobPageQuery,
    summary: 'Lists jobs with progress and reports, newest first: running ones, and the last 20 of each kind.',
  },
  {
    op: 'job.start',
    method: 'POST',
    path: '/api/v1/jobs',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Starts a job: 202; 409 while another of its kind runs. `kind`, `dry_run` and the parameters of the kind.',
  },
  {
    op: 'job.get',
    method: 'GET',
    path: '/api/v1/jobs/:job',
    access: 'monitor',
    spec: 'artifactapi',
    summary: 'Returns a job.',
  },
  {
    op: 'job.plan',
    method: 'GET',
    path: '/api/v1/jobs/:job/plan',
    access: 'monitor',
    spec: 'artifactapi',
    query: planPageQuery,
    summary: 'Lists what the plan of a retention job deletes, and why; `n`, `last`. 404 after a restart.',
  },
  {
    op: 'job.delete',
    method: 'DELETE',
    path: '/api/v1/jobs/:job',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Cancels a job that runs or waits: 202. Deletes the record of one that ended: 204.',
  },
  {
    op: 'job.confirm',
    method: 'POST',
    path: '/api/v1/jobs/:job/confirm',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Carries out the plan of a job that waits for a confirmation: 202; 409 if it does not wait.',
  },
  {
    op: 'event.list',
    method: 'GET',
    path: '/api/v1/events',
    access: 'monitor',
    spec: 'artifactapi',
    query: eventsQuery,
    summary: 'Lists who changed what: newest first, or oldest first `after` a cursor.',
  },
] as const satisfies readonly Endpoint[];
