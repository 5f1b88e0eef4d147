/**
 * Lists the limits on clients.
 *
 * These refuse a connection or request: concurrent `connections` of all clients and `client_connections` of one client;
 * concurrent `client_requests` of one client; `request_rate`; `throttled_login`; concurrent `imports` and `exports`;
 * `large_bodies` and `large_answers` in memory.
 *
 * These close the connection: too many `pipelined_requests`; too many connections with `unfinished_heads`; `slow_upload`;
 * `slow_download`; `unread_body`.
 */
export const refusalReasons = [
  'connections',
  'client_connections',
  'client_requests',
  'pipelined_requests',
  'request_rate',
  'throttled_login',
  'imports',
  'exports',
  'large_bodies',
  'large_answers',
  'unfinished_heads',
  'slow_upload',
  'slow_download',
  'unread_body',
] as const;

/** The limit that a client exceeded. */
export type RefusalReason = (typeof refusalReasons)[number];
