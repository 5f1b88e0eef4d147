// The responses of the operations of the management API for what operators watch; see openapi-operations.mjs.

/** @typedef {Readonly<Record<string, unknown>>} Schema JSON Schema, 2020-12. */

const text = { type: 'string' };
const count = { type: 'integer', minimum: 0 };
const time = { type: 'string', format: 'date-time' };
const list = (/** @type {Schema} */ items) => ({ type: 'array', items });

/** @returns {Schema} */
function object(/** @type {Readonly<Record<string, Schema>>} */ properties, required = Object.keys(properties)) {
  return { type: 'object', properties, required };
}

const unknownCount = { type: ['integer', 'null'], minimum: 0 };
const point = object(
  {
    at: { ...time, description: 'When the period began.' },
    bytes: { ...unknownCount, description: 'At the end of the period. Each digest counts once per image.' },
    images: unknownCount,
    pulls: count,
    pushes: count,
    hit: count,
    miss: count,
    stale: count,
    upstream_bytes: count,
  },
  ['at'],
);
const statistics = object(
  {
    step_seconds: count,
    points: {
      ...list(point),
      description:
        'The sums over the repositories, the oldest first. Periods in which the registry did not run are absent.',
    },
    repositories: { ...list(object({ name: text, points: list(point) })), description: 'With `split=true`.' },
  },
  ['step_seconds', 'points'],
);
const request = object(
  {
    seq: { ...count, description: 'The number of the request since the process started.' },
    at: { ...time, description: 'When it was answered.' },
    id: text,
    op: text,
    method: text,
    url: text,
    status: count,
    duration_ms: { type: 'number', minimum: 0 },
    bytes_received: count,
    bytes_sent: count,
    user_agent: text,
    principal: text,
    remote_address: text,
    client_address: text,
    error_code: text,
    cache: { enum: ['hit', 'miss', 'stale'] },
    served_by: { ...text, description: 'The repository that answered.' },
  },
  ['seq', 'at', 'id', 'op', 'method', 'url', 'status', 'duration_ms', 'principal', 'remote_address', 'client_address'],
);

/** The operations that operators watch a registry with, by `op`. */
export const monitoringOperations = {
  'statistics.get': { answers: { 200: { schema: statistics } } },
  'metrics.get': { answers: { 200: { types: ['text/plain'], schema: text } } },
  'request.list': {
    answers: {
      200: {
        schema: object({
          requests: list(request),
          cursor: { ...text, description: 'The `after` of the next request.' },
        }),
      },
    },
  },
};
