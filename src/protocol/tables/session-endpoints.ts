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
  {
    op: 'session.create',
    method: 'POST',
    path: '/api/v1/session',
    access: 'none',
    spec: 'artifactapi',
    summary: 'Logs in with `username` and `password`, which may be a token: 200 with a cookie for the management API.',
  },
  {
    op: 'session.delete',
    method: 'DELETE',
    path: '/api/v1/session',
    access: 'anyone',
    spec: 'artifactapi',
    summary: 'Ends the session of the cookie: 204.',
  },
] as const satisfies readonly Endpoint[];
