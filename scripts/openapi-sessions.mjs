// The operations of the OpenAPI document for people who use the web UI.

const text = { type: 'string' };
const flag = { type: 'boolean' };

const session = {
  type: 'object',
  properties: {
    principal: {
      type: ['object', 'null'],
      properties: { id: text, groups: { type: 'array', items: text }, via: text, source: text },
      required: ['id', 'groups', 'via'],
    },
    may: {
      type: 'object',
      properties: { admin: flag, monitor: flag, browse: flag },
      required: ['admin', 'monitor', 'browse'],
    },
    mode: { enum: ['open', 'read-only', 'rules'] },
    registry: {
      type: 'object',
      properties: { host: text, secure: flag, prefix: text, version: text },
      required: ['host', 'secure', 'prefix', 'version'],
    },
    login: {
      type: 'object',
      properties: {
        password: flag,
        url: text,
        oidc: {
          type: 'array',
          items: { type: 'object', properties: { name: text, title: text }, required: ['name', 'title'] },
        },
      },
      required: ['password', 'oidc'],
    },
  },
  required: ['principal', 'may', 'mode', 'registry', 'login'],
};

const time = { type: 'string', format: 'date-time' };
const sessions = {
  type: 'object',
  properties: {
    sessions: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          id: text,
          user: text,
          source: { enum: ['htpasswd', 'account', 'oidc'] },
          created_at: time,
          seen_at: time,
          address: text,
          agent: text,
          current: flag,
        },
        required: ['id', 'user', 'source', 'created_at', 'seen_at', 'address', 'current'],
      },
    },
  },
  required: ['sessions'],
};
const ended = {
  type: 'object',
  properties: { ended: { type: 'integer', minimum: 0 } },
  required: ['ended'],
};

/** The body of a redirect with a `problem`. Others have none. */
const refusal = { type: 'object', properties: { errors: { type: 'array' } }, required: ['errors'] };

/** The operations on sessions. */
export const sessionOperations = {
  'session.get': { answers: { 200: { schema: session } } },
  'session.create': {
    body: {
      schema: { type: 'object', properties: { username: text, password: text }, required: ['username', 'password'] },
    },
    answers: { 200: { schema: session, headers: ['Set-Cookie'] } },
  },
  'session.list': { answers: { 200: { schema: sessions } } },
  'session.endAll': { answers: { 200: { schema: ended } } },
  'session.end': { answers: { 204: {} } },
  'session.beginLogin': { answers: { 302: { schema: refusal, headers: ['Location'] } } },
  'session.completeLogin': { answers: { 302: { schema: refusal, headers: ['Location'] } } },
  'session.delete': { answers: { 204: { headers: ['Set-Cookie'] } } },
};
