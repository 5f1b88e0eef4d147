import { requestsQuery, statisticsQuery } from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/** Operations of the management API for what operators watch. */
export const monitoringEndpoints = [
  {
    op: 'statistics.get',
    method: 'GET',
    path: '/api/v1/statistics',
    access: 'browse',
    spec: 'artifactapi',
    query: statisticsQuery,
    summary:
      'Returns bytes, pulls, pushes and cache answers over time, for the repositories that the caller may pull from.',
  },
  {
    op: 'request.list',
    method: 'GET',
    path: '/api/v1/requests',
    access: 'monitor',
    spec: 'artifactapi',
    query: requestsQuery,
    summary: 'Lists the last 1000 requests of this process, oldest first; `after`, `n`.',
  },
  {
    op: 'metrics.get',
    method: 'GET',
    path: '/api/v1/metrics',
    access: 'monitor',
    spec: 'artifactapi',
    summary: 'Returns the metrics in the text format of Prometheus. 404 if the option `metrics` is off.',
  },
] as const satisfies readonly Endpoint[];
