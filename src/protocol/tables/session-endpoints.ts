import type { Endpoint } from './route-table.js';

/** Operations of the management API for people who use the web UI. */
export const sessionEndpoints = [
  {
    op: 'session.get',
    method: 'GET',
    path: '/api/v1/session',
    access: 'anyone',
    spec: 'artifactapi',
    summary: 'Returns who the caller is, what it may do in the whole registry, and how people log in.',
  },
] as const satisfies readonly Endpoint[];
