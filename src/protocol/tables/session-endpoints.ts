import { sessionsQuery } from './query-parameters.js';
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
  {
    op: 'session.list',
    method: 'GET',
    path: '/api/v1/sessions',
    access: 'login',
    spec: 'artifactapi',
    query: sessionsQuery,
    summary: 'Lists logins to the web UI: those of the caller; those of everyone, or of `user`, to administrators.',
  },
  {
    op: 'session.endAll',
    method: 'DELETE',
    path: '/api/v1/sessions',
    access: 'login',
    spec: 'artifactapi',
    query: sessionsQuery,
    summary: 'Ends all sessions of the caller, or of `user` for administrators.',
    change: 'session.ended',
  },
  {
    op: 'session.end',
    method: 'DELETE',
    path: '/api/v1/sessions/:login',
    access: 'login',
    spec: 'artifactapi',
    summary: 'Ends a session of the caller, or any for administrators: 204.',
    change: 'session.ended',
  },
  {
    op: 'session.tokens',
    method: 'GET',
    path: '/api/v1/session/tokens',
    access: 'login',
    spec: 'artifactapi',
    summary: "Lists the caller's own tokens, without their secrets.",
  },
  {
    op: 'session.createToken',
    method: 'POST',
    path: '/api/v1/session/tokens',
    access: 'login',
    spec: 'artifactapi',
    summary:
      'Creates a token of the caller: 201 with the secret in `token`. It ends with the password, or the account.',
  },
  {
    op: 'session.deleteToken',
    method: 'DELETE',
    path: '/api/v1/session/tokens/:token',
    access: 'login',
    spec: 'artifactapi',
    summary: "Revokes one of the caller's tokens: 204.",
  },
] as const satisfies readonly Endpoint[];
