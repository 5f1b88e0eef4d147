import { immutabilityQuery } from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/** Operations of the management API about what protects the content of repositories. */
export const protectionEndpoints = [
  {
    op: 'immutability.get',
    method: 'GET',
    path: '/api/v1/repositories/:repository/immutable',
    access: 'browse',
    spec: 'artifactapi',
    query: immutabilityQuery,
    summary: 'Reports whether `tag` is immutable, and by which pattern.',
  },
  {
    op: 'quota.list',
    method: 'GET',
    path: '/api/v1/quotas',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Lists the quotas of repositories, the declared and the managed ones, and how much of each is used.',
  },
  {
    op: 'quota.replace',
    method: 'PUT',
    path: '/api/v1/quotas',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Replaces the managed quotas.',
  },
] as const satisfies readonly Endpoint[];
