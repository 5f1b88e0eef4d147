import { refreshQuery } from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/** Operations of the management API that ask the upstream of a repository. */
export const upstreamEndpoints = [
  {
    op: 'cache.refresh',
    method: 'POST',
    path: '/api/v1/repositories/:repository/refresh',
    access: 'admin',
    spec: 'artifactapi',
    query: refreshQuery,
    summary:
      'Asks the upstream for a `tag` of an `image` now, and then explains the tag, with a `problem` if it could not be refreshed.',
  },
  {
    op: 'upstream.probe',
    method: 'POST',
    path: '/api/v1/repositories/:repository/probe',
    access: 'admin',
    spec: 'artifactapi',
    summary:
      'Reports whether the upstream answers now. An answer closes the circuit breaker, unless a rate limit opened it.',
  },
] as const satisfies readonly Endpoint[];
