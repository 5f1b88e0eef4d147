/**
 * The limits for which clients are refused. Refused: `connections` of all clients or `client_connections` of one,
 * `client_requests` at a time of one, `request_rate`, `throttled_login`, `imports` and `large_bodies` at a time. Ended:
 * `unfinished_heads` when too many wait for the rest of theirs, `slow_upload`, `slow_download`, `unread_body`; connections
 * with too many `pipelined_requests`.
 */
export const refusalReasons = [
  'connections',
  'client_connections',
  'client_requests',
  'pipelined_requests',
  'request_rate',
  'throttled_login',
  'imports',
  'large_bodies',
  'unfinished_heads',
  'slow_upload',
  'slow_download',
  'unread_body',
] as const;

export type RefusalReason = (typeof refusalReasons)[number];
