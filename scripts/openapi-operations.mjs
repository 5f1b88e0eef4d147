// The headers, bodies and responses of each operation, which the OpenAPI document adds to the rows in src/protocol/.
// test/integration/operations/openapi.test.ts compares them with the registry.

import { imageOperations } from './openapi-images.mjs';
import { sessionOperations } from './openapi-sessions.mjs';
import { monitoringOperations } from './openapi-monitoring.mjs';

/**
 * @typedef {Readonly<Record<string, unknown>>} Schema JSON Schema, 2020-12.
 * @typedef {{ name: string, in: 'header', required?: boolean, schema: Schema, description: string }} Parameter
 * @typedef {{ schema?: Schema, types?: readonly string[], headers?: readonly string[], optional?: boolean }} Content
 * @typedef {{ parameters?: readonly Parameter[], body?: Content, answers: Readonly<Record<number, Content>> }} Details
 */

/** @returns {Schema} */
export const ref = (/** @type {string} */ name) => ({ $ref: `#/components/schemas/${name}` });

const text = { type: 'string' };
const count = { type: 'integer', minimum: 0 };
const time = { type: 'string', format: 'date-time' };

/** @returns {Schema} */
function object(/** @type {Readonly<Record<string, Schema>>} */ properties, required = Object.keys(properties)) {
  return { type: 'object', properties, required };
}

/** @returns {Schema} */
const listOf = (/** @type {string} */ key, /** @type {Schema} */ items) => object({ [key]: { type: 'array', items } });

/** @returns {Parameter} */
const header = (/** @type {string} */ name, /** @type {string} */ description) => ({
  name,
  in: 'header',
  schema: text,
  description,
});

const several = { type: 'array', items: text };
const revalidated = header('If-None-Match', 'The digest in quotes. 304 if the content still has this digest.');
const conditional = [
  header('If-Match', 'Digests in quotes, or `*`. 412 unless the tag names one of them.'),
  header('If-None-Match', '`*`, or digests in quotes. 412 if the tag exists, or names one of them.'),
];
const contentRange = header(
  'Content-Range',
  '`<start>-<end>`, without a unit. The chunk must begin where the upload ends.',
);
const page = (/** @type {Schema} */ schema) => ({ 200: { schema, headers: ['Link'] } });
const created = (/** @type {Schema} */ schema) => ({ 201: { schema, headers: ['Location'] } });

const binary = { types: ['application/octet-stream'] };
const manifestTypes = ['oci.image.manifest.v1', 'oci.image.index.v1']
  .concat(['docker.distribution.manifest.v2', 'docker.distribution.manifest.list.v2'])
  .map((type) => `application/vnd.${type}+json`);
const manifest = { types: manifestTypes, schema: { type: 'object' }, headers: ['Docker-Content-Digest', 'ETag'] };
const blob = { ...binary, headers: ['Docker-Content-Digest', 'ETag', 'Accept-Ranges'] };
const uploadHeaders = ['Location', 'Range', 'Docker-Upload-UUID'];
const blobCreated = { headers: ['Location', 'Docker-Content-Digest'] };

const counted = object({ total: count, bytes: count, already_present: count, already_present_bytes: count });
const imported = object(
  {
    name: text,
    image: text,
    tags: several,
    digest: text,
    media_type: text,
    platforms: several,
    size_bytes: count,
  },
  ['name', 'image', 'tags', 'digest', 'media_type', 'size_bytes'],
);

const quotaItems = {
  type: 'array',
  items: object({
    name: text,
    names: several,
    max_bytes: count,
    used_bytes: count,
    origin: { type: 'string', enum: ['repository', 'declared', 'managed'] },
  }),
};
const quotaList = object({ quotas: quotaItems });

/** The operations of the registry. @type {Readonly<Record<string, Details>>} */
const registryOperations = {
  'version.check': { answers: { 200: { schema: { type: 'object' } } } },
  'token.get': {
    answers: { 200: { schema: ref('AccessToken') } },
  },
  'token.post': {
    body: { types: ['application/x-www-form-urlencoded'], schema: ref('TokenForm') },
    answers: { 200: { schema: ref('AccessToken') } },
  },
  'catalog.list': { answers: page(listOf('repositories', text)) },
  'upload.start': {
    body: binary,
    answers: { 201: blobCreated, 202: { headers: uploadHeaders } },
  },
  'upload.status': { answers: { 204: { headers: uploadHeaders } } },
  'upload.append': { parameters: [contentRange], body: binary, answers: { 202: { headers: uploadHeaders } } },
  'upload.complete': {
    parameters: [contentRange],
    body: binary,
    answers: { 201: blobCreated },
  },
  'upload.cancel': { answers: { 204: {} } },
  'blob.stat': { parameters: [revalidated], answers: { 200: { headers: blob.headers }, 304: {} } },
  'blob.get': {
    parameters: [
      header('Range', '`bytes=<start>-<end>`. Several ranges are answered with the whole blob.'),
      header('If-Range', 'The digest in quotes.'),
      revalidated,
    ],
    answers: { 200: blob, 206: { ...blob, headers: [...blob.headers, 'Content-Range'] }, 304: {} },
  },
  'blob.delete': { answers: { 202: {} } },
  'manifest.stat': { parameters: [revalidated], answers: { 200: { headers: manifest.headers }, 304: {} } },
  'manifest.get': { parameters: [revalidated], answers: { 200: manifest, 304: {} } },
  'manifest.put': {
    parameters: conditional,
    body: { types: manifestTypes, schema: { type: 'object' } },
    answers: { 201: { headers: ['Location', 'Docker-Content-Digest', 'OCI-Subject', 'OCI-Tag'] } },
  },
  'manifest.delete': { parameters: conditional, answers: { 202: {} } },
  'tag.list': { answers: page(object({ name: ref('Name'), tags: { type: 'array', items: text } })) },
  'referrer.list': {
    answers: {
      200: {
        types: ['application/vnd.oci.image.index.v1+json'],
        schema: object({
          schemaVersion: { const: 2 },
          mediaType: text,
          manifests: { type: 'array', items: { type: 'object' } },
        }),
        headers: ['Link', 'OCI-Filters-Applied'],
      },
    },
  },
};

const repositoryRead = { 200: { schema: ref('Repository'), headers: ['ETag'] } };
const unchanged = header(
  'If-Match',
  'The `ETag` of the repository, or `*`. 412 if the settings have changed since, also by another administrator.',
);
const accountRead = { 200: { schema: ref('Account') } };
const checkRead = { 200: { schema: ref('AccessReport') } };
const jobAccepted = { 202: { schema: ref('Job'), headers: ['Location'] } };
const ruleRead = { 200: { schema: ref('Rule') } };
const webhookRead = { 200: { schema: ref('Webhook') } };
const syncRead = { 200: { schema: ref('Sync') } };
const named = (/** @type {string} */ schema) => ({ allOf: [ref(schema), { required: ['name'] }] });

const component = (/** @type {Record<string, Schema>} */ more) => ({
  type: 'object',
  properties: { status: { enum: ['ok', 'degraded'] }, reason: text, ...more },
  required: ['status'],
});
const health = object({
  status: { const: 'ok' },
  components: object({
    index: component({ reopens: count, last_failure_at: text }),
    blobs: component({
      free_bytes: count,
      total_bytes: count,
      reserve_bytes: count,
      is_reserve_complete: { type: 'boolean' },
    }),
  }),
  refusals: object({
    connections: count,
    client_connections: count,
    client_requests: count,
    pipelined_requests: count,
    request_rate: count,
    throttled_login: count,
    imports: count,
    exports: count,
    large_bodies: count,
    large_answers: count,
    unfinished_heads: count,
    slow_upload: count,
    slow_download: count,
    unread_body: count,
  }),
});

const nullable = (/** @type {Schema} */ schema) => ({ anyOf: [schema, { type: 'null' }] });
const breaker = {
  state: { enum: ['closed', 'open', 'probing'] },
  failures: count,
  last_failure: text,
  opened_at: time,
  is_limited: { const: true, description: 'The upstream answered 429.' },
};
const cacheCounters = { hit: count, miss: count, stale: count, refresh: count };
const registryStatus = object(
  {
    stored_bytes: { ...count, description: 'Each digest counts once.' },
    reclaimable: {
      ...nullable(object({ bytes: count, computed_at: time })),
      description: 'What a garbage collection would free. `null` until it is known.',
    },
    trash_bytes: { ...nullable(count), description: 'For monitors. `null` until it is known.' },
    disk: {
      ...nullable(
        object({
          free_bytes: count,
          total_bytes: count,
          full_in_days: {
            ...nullable(count),
            description:
              'At the growth of the last 14 days. `null`: it does not grow, or less than three days are known.',
          },
        }),
      ),
      description: 'For monitors.',
    },
    counted_at: { ...nullable(time), description: 'When images, tags, bytes and the trash were counted.' },
    unique_counted_at: { ...nullable(time), description: 'When `unique_bytes` were counted.' },
    repositories: {
      type: 'array',
      description: 'Figures are absent where the caller may not pull everything, and until they are known.',
      items: object(
        {
          name: text,
          repo_type: { enum: ['local', 'remote', 'virtual'] },
          images: count,
          tags: count,
          bytes: count,
          unique_bytes: { ...nullable(count), description: 'The bytes that no other repository has.' },
          pushed_at: nullable(time),
          counters: object({ ...cacheCounters, upstream_bytes: count, since: time }),
          upstream: object({ host: text, ...breaker, budget: { type: 'number' } }, ['host', 'state', 'failures']),
        },
        ['name', 'repo_type'],
      ),
    },
    problems: {
      type: 'array',
      description: 'For monitors. The most urgent first.',
      items: object({
        kind: text,
        severity: { enum: ['error', 'warning', 'notice'] },
        what: text,
        where: nullable(text),
        since: nullable(time),
        advice: text,
      }),
    },
  },
  ['stored_bytes', 'reclaimable', 'counted_at', 'unique_counted_at', 'repositories'],
);

/** The operations of the management API. @type {Readonly<Record<string, Details>>} */
const managementOperations = {
  'health.get': { answers: { 200: { schema: health } } },
  'selftest.body': {
    body: binary,
    answers: {
      200: {
        schema: object({
          received_bytes: count,
          announced_bytes: nullable(count),
          sha256: text,
          receive_ms: count,
          seen: object({ address: text, origin: nullable(text), prefix: text }),
        }),
      },
    },
  },
  'openapi.get': {
    answers: { 200: { schema: object({ openapi: text, info: { type: 'object' }, paths: { type: 'object' } }) } },
  },
  ...sessionOperations,
  'repository.list': {
    answers: { 200: { schema: listOf('repositories', { anyOf: [ref('Repository'), ref('RepositorySummary')] }) } },
  },
  'repository.create': {
    body: { schema: named('Repository') },
    answers: { 201: { schema: ref('Repository'), headers: ['Location', 'ETag'] } },
  },
  'repository.get': { answers: repositoryRead },
  'repository.replace': { parameters: [unchanged], body: { schema: ref('Repository') }, answers: repositoryRead },
  'repository.delete': { parameters: [unchanged], answers: { 200: { schema: ref('StoredContent') }, 204: {} } },
  'image.list': { answers: page(listOf('images', ref('Image'))) },
  'image.tags': { answers: page(listOf('tags', ref('Tag'))) },
  'archive.import': {
    body: { types: ['application/x-tar', 'application/octet-stream', 'multipart/form-data'] },
    answers: {
      201: { schema: object({ images: { type: 'array', items: imported }, manifests: counted, blobs: counted }) },
    },
  },
  'archive.export': {
    answers: { 200: { types: ['application/x-tar'], headers: ['Content-Disposition'] } },
  },
  'cache.purge': {
    answers: {
      200: { schema: { anyOf: [object({ manifests: count, blobs: count, tags: count }), ref('StoredContent')] } },
    },
  },
  'cache.refresh': { answers: { 200: { schema: ref('Explanation') } } },
  'upstream.probe': {
    answers: {
      200: {
        schema: object({
          state: breaker.state,
          status: { ...nullable(count), description: '`null`: there was no answer.' },
          duration_ms: count,
          reason: { ...nullable(text), description: 'Why it does not count as an answer of a registry.' },
        }),
      },
    },
  },
  'immutability.get': {
    answers: {
      200: {
        schema: object({
          repository: text,
          tag: text,
          immutable: { type: 'boolean' },
          pattern: { type: ['string', 'null'] },
        }),
      },
    },
  },
  'quota.list': { answers: { 200: { schema: quotaList } } },
  'quota.replace': {
    body: { schema: listOf('quotas', object({ names: { anyOf: [text, several] }, max_bytes: count })) },
    answers: { 200: { schema: quotaList } },
  },
  'explain.get': {
    answers: { 200: { schema: ref('Explanation') } },
  },
  'garbage.collect': {
    body: { schema: ref('CollectionRequest'), optional: true },
    answers: { 200: { schema: ref('CollectionReport') } },
  },
  'quarantine.list': { answers: page(listOf('blobs', ref('QuarantinedBlob'))) },
  'quarantine.restore': {
    body: {
      schema: {
        oneOf: [
          {
            ...object({ digests: { type: 'array', items: ref('Digest'), minItems: 1, maxItems: 1000 } }),
            additionalProperties: false,
          },
          { ...object({ all: { const: true } }), additionalProperties: false },
        ],
      },
    },
    answers: { 200: { schema: object({ restored: count, missing: { type: 'array', items: ref('Digest') } }) } },
  },
  'quarantine.delete': { answers: { 204: {} } },
  'status.get': { answers: { 200: { schema: ref('RegistryStatus') } } },
  'damage.list': { answers: { 200: { schema: listOf('blobs', ref('DamagedBlob')) } } },
  'options.reload': {
    answers: {
      200: {
        schema: listOf(
          'changes',
          object(
            {
              option: text,
              change: { enum: ['added', 'removed', 'changed'] },
              from: { type: ['number', 'boolean'] },
              to: { type: ['number', 'boolean'] },
            },
            ['option', 'change'],
          ),
        ),
      },
    },
  },
  'job.list': { answers: { 200: { schema: listOf('jobs', ref('Job')) } } },
  'job.start': { body: { schema: ref('JobRequest') }, answers: jobAccepted },
  'job.get': { answers: { 200: { schema: ref('Job') } } },
  'job.plan': {
    answers: {
      200: { schema: object({ total: count, items: { type: 'array', items: ref('PlannedItem') } }) },
    },
  },
  'job.delete': { answers: { ...jobAccepted, 204: {} } },
  'job.confirm': { answers: jobAccepted },
  'event.list': {
    answers: {
      200: {
        schema: object(
          { events: { type: 'array', items: ref('Event') }, cursor: { type: ['string', 'null'] }, latest: text },
          ['events', 'cursor'],
        ),
      },
    },
  },
  'trash.list': { answers: { 200: { schema: listOf('items', ref('TrashItem')) } } },
  'trash.restore': {
    body: { schema: ref('RestoreTrash') },
    answers: {
      200: { schema: object({ digest: ref('Digest'), tags: { type: 'array', items: text }, manifests: count }) },
    },
  },
  'trash.empty': {
    answers: { 200: { schema: object({ dry_run: { type: 'boolean' }, manifests: count, bytes: count }) } },
  },
  'access.check': { answers: checkRead },
  'person.list': { answers: { 200: { schema: listOf('people', ref('Person')) } } },
  'person.replace': { body: { schema: ref('PersonChange') }, answers: { 200: { schema: ref('Person') } } },
  'person.delete': { answers: { 204: {} } },
  'account.list': { answers: { 200: { schema: listOf('accounts', ref('Account')) } } },
  'account.create': { body: { schema: named('Account') }, answers: created(ref('Account')) },
  'account.get': { answers: accountRead },
  'account.replace': { body: { schema: ref('Account') }, answers: accountRead },
  'account.delete': { answers: { 204: {} } },
  'account.tokens': { answers: { 200: { schema: listOf('tokens', ref('Token')) } } },
  'account.createToken': {
    body: { schema: ref('TokenSettings') },
    answers: created({ allOf: [ref('Token'), object({ token: text })] }),
  },
  'account.deleteToken': { answers: { 204: {} } },
  'session.tokens': { answers: { 200: { schema: listOf('tokens', ref('Token')) } } },
  'session.createToken': {
    body: { schema: ref('TokenSettings') },
    answers: created({ allOf: [ref('Token'), object({ token: text })] }),
  },
  'session.deleteToken': { answers: { 204: {} } },
  'rule.list': { answers: { 200: { schema: listOf('rules', ref('Rule')) } } },
  'rule.create': { body: { schema: ref('Rule') }, answers: created(ref('Rule')) },
  'rule.get': { answers: ruleRead },
  'rule.replace': { body: { schema: ref('Rule') }, answers: ruleRead },
  'rule.delete': { answers: { 204: {} } },
  'sync.list': { answers: { 200: { schema: listOf('syncs', ref('Sync')) } } },
  'sync.create': { body: { schema: named('Sync') }, answers: created(ref('Sync')) },
  'sync.get': { answers: syncRead },
  'sync.replace': { body: { schema: ref('Sync') }, answers: syncRead },
  'sync.delete': { answers: { 204: {} } },
  'webhook.list': { answers: { 200: { schema: listOf('webhooks', ref('Webhook')) } } },
  'webhook.create': {
    body: { schema: { allOf: [ref('Webhook'), { required: ['name', 'url', 'secret'] }] } },
    answers: created(ref('Webhook')),
  },
  'webhook.get': { answers: webhookRead },
  'webhook.replace': { body: { schema: { allOf: [ref('Webhook'), { required: ['url'] }] } }, answers: webhookRead },
  'webhook.delete': { answers: { 204: {} } },
  'webhook.test': {
    answers: {
      200: {
        schema: object(
          {
            status: { ...count, description: 'The status of the answer. Absent without an answer.' },
            error: { ...text, description: 'Why there was no answer.' },
            duration_ms: count,
            answer: { ...text, description: 'The first 1024 bytes of the answer.' },
          },
          ['duration_ms', 'answer'],
        ),
      },
    },
  },
  'webhook.deliveries': { answers: { 200: { schema: listOf('deliveries', ref('Delivery')) } } },
  'webhook.resend': { answers: { 202: {} } },
  'key.list': { answers: { 200: { schema: listOf('keys', ref('Key')) } } },
  'key.rotate': { answers: { 201: { schema: ref('Key') } } },
};

/** All operations by `op`. @type {Readonly<Record<string, Details>>} */
export const operations = {
  ...registryOperations,
  ...managementOperations,
  ...imageOperations,
  ...monitoringOperations,
};

const origin = { enum: ['declared', 'managed'], readOnly: true };

/** Fields that the API adds to the settings. They are ignored on input. */
export const shownWith = {
  repository: {
    origin,
    created_at: { ...time, readOnly: true },
    updated_at: { ...time, readOnly: true },
    protection: { ...ref('Protection'), readOnly: true },
  },
  remote: { has_credentials: { type: 'boolean', readOnly: true }, status: { ...ref('CacheStatus'), readOnly: true } },
  account: { created_at: { ...time, readOnly: true }, updated_at: { ...time, readOnly: true } },
  rule: { id: { ...text, readOnly: true }, origin },
  sync: { origin, status: { ...ref('SyncStatus'), readOnly: true } },
  webhook: {
    has_previous_secret: { type: 'boolean', readOnly: true },
    header_names: { type: 'array', items: text, readOnly: true },
    origin,
    status: { ...ref('WebhookStatus'), readOnly: true },
  },
};

const syncReport = object({
  sync: text,
  images: count,
  tags: { ...count, description: 'Tags that the sync selects and the upstream has.' },
  copied_tags: count,
  unchanged_tags: count,
  failed_tags: count,
  deleted_tags: count,
  copied_manifests: count,
  copied_blobs: count,
  copied_bytes: count,
  failed: { ...count, description: 'The number of problems.' },
  problems: {
    type: 'array',
    items: object({ image: text, tag: text, error: text }, ['image', 'error']),
    description: 'The first 100 problems.',
  },
});

/** Schemas of documents that the API only returns, or that no zod schema checks. @type {Readonly<Record<string, Schema>>} */
export const answerSchemas = {
  AccessToken: object(
    { token: text, access_token: text, scope: text, expires_in: count, issued_at: time, refresh_token: text },
    ['token', 'access_token', 'scope', 'expires_in', 'issued_at'],
  ),
  TokenForm: object(
    {
      grant_type: { enum: ['password', 'refresh_token'] },
      username: text,
      password: text,
      refresh_token: text,
      scope: { ...several, description: 'The same as in the query of the GET.' },
      service: text,
      client_id: text,
      access_type: { ...text, description: '`offline`: also return a refresh token.' },
    },
    ['grant_type'],
  ),
  Protection: {
    ...object({
      repository: text,
      immutable: object({ tags: several, except: several }),
      quotas: quotaItems,
      retention: {
        type: 'array',
        items: object(
          {
            names: several,
            keep: {
              type: 'array',
              items: object({ tags: several, newest: count, used_within_seconds: { type: 'number' } }, ['tags']),
            },
            untagged: object({ keep_seconds: { type: 'number' } }),
            max_share: { type: 'number' },
          },
          ['names', 'max_share'],
        ),
      },
    }),
    description:
      'What limits and protects the images of a local repository, or of the one that receives the pushes to a virtual one: immutable tags, quotas that may count them and retention policies that may apply.',
  },
  RepositorySummary: {
    ...object({ name: text, package_type: { const: 'docker' }, repo_type: text, description: text }),
    description: 'A repository as shown to users who may pull from it, but not administer it.',
    additionalProperties: false,
  },
  Image: object({ name: ref('Name'), manifests: count, tags: count, size_bytes: count, updated_at: time }),
  Tag: object(
    {
      name: text,
      digest: ref('Digest'),
      media_type: text,
      manifest_size_bytes: count,
      size_bytes: count,
      updated_at: time,
    },
    ['name'],
  ),
  Explanation: object(
    {
      repository: text,
      type: { enum: ['local', 'remote', 'virtual'] },
      image: text,
      answer: { enum: ['stored', 'cached', 'revalidate', 'upstream', 'absent', 'left out'] },
      reason: text,
      digest: ref('Digest'),
      upstream: text,
      problem: text,
      breaker: ref('CircuitBreaker'),
      checked_at: time,
      fresh_until: time,
      members: { type: 'array', items: ref('Explanation') },
    },
    ['repository', 'type', 'image', 'answer', 'reason'],
  ),
  CircuitBreaker: object(breaker, ['state', 'failures']),
  RegistryStatus: registryStatus,
  CacheStatus: object({
    upstream: text,
    breaker: ref('CircuitBreaker'),
    budget: { type: 'number', minimum: 0, maximum: 1 },
    counted_since: {
      ...time,
      description: 'When `counters` and `upstream_bytes` began. They do not survive a restart.',
    },
    counters: object(cacheCounters),
    upstream_bytes: count,
    used_bytes: count,
  }),
  Delivery: object(
    {
      seq: { ...count, description: 'The number of the event in the journal.' },
      at: { ...time, description: 'When the event happened.' },
      event: { ...text, description: 'The type of the event, such as `tag.moved`.' },
      subject: text,
      state: { enum: ['delivered', 'retrying', 'refused', 'lost'] },
      attempts: count,
      attempted_at: time,
      duration_ms: count,
      status: { ...count, description: 'The status of the last answer. Absent without an answer.' },
      error: { ...text, description: 'Why there was no answer.' },
      next_at: { ...time, description: 'When it is attempted again.' },
    },
    ['seq', 'at', 'event', 'subject', 'state', 'attempts', 'attempted_at', 'duration_ms'],
  ),
  WebhookStatus: object(
    {
      cursor: { ...count, description: 'The number of the last event that was dealt with.' },
      pending: { ...count, description: 'Events that wait, at most 1000.' },
      lost: { ...count, description: 'Events that were given up after a day.' },
      dropped: { ...count, description: 'Pulls and warnings of quotas that were not delivered since the start.' },
      failing_since_at: { ...time, description: 'Absent if the last event was delivered.' },
      last_status: { ...count, description: 'The status of the last answer.' },
      last_error: { ...text, description: 'Why the last attempt had no answer.' },
      last_attempt_at: time,
      next_attempt_at: time,
    },
    ['cursor', 'pending', 'lost', 'dropped'],
  ),
  SyncStatus: object(
    {
      last_run: {
        ...object({ job: text, state: text, started_at: time, finished_at: time, report: syncReport, error: text }, [
          'job',
          'state',
          'started_at',
        ]),
        description: 'Absent before the first run.',
      },
      next_run_at: { ...time, description: 'Absent if it runs only on request.' },
    },
    [],
  ),
  JobRequest: {
    ...object(
      {
        kind: { enum: ['garbage', 'backup', 'retention', 'sync', 'scrub', 'import'] },
        dry_run: { type: 'boolean', default: false },
      },
      ['kind'],
    ),
    description: 'The parameters of the kind are further properties.',
  },
  Job: object(
    {
      id: text,
      kind: text,
      state: {
        enum: ['running', 'waiting', 'succeeded', 'partly', 'failed', 'cancelled'],
        description: '`waiting`: for a confirmation. `partly`: done, but the report lists problems.',
      },
      dry_run: { type: 'boolean' },
      params: { type: 'object' },
      by: ref('Actor'),
      started_at: time,
      finished_at: time,
      confirmed_by: ref('Actor'),
      cancelled_by: { ...ref('Actor'), description: 'The job is `running` until it has stopped.' },
      done: count,
      total: count,
      unit: { ...text, description: 'What `done` and `total` count.' },
      eta_at: { ...time, description: 'When it will be done, if it goes on at the same rate.' },
      report: { type: 'object', description: 'What it did. The fields depend on the kind.' },
      error: text,
      resumes: { ...count, description: 'How often a new process resumed it since it last saved its state.' },
    },
    ['id', 'kind', 'state', 'dry_run', 'params', 'by', 'started_at', 'resumes'],
  ),
  Actor: object(
    {
      principal: text,
      via: { enum: ['anonymous', 'basic', 'bearer', 'host', 'code', 'job', 'system'] },
      request_id: text,
      address: text,
      host: text,
      user_agent: text,
    },
    ['principal', 'via'],
  ),
  Event: object(
    {
      seq: count,
      at: time,
      type: text,
      by: ref('Actor'),
      repository: text,
      image: text,
      tag: text,
      digest: { ...ref('Digest'), description: 'The manifest, or what the tag names now.' },
      was: { ...ref('Digest'), description: 'What the tag named before.' },
      media_type: text,
      override: { const: true, description: 'An administrator overrode the protection of immutable tags.' },
      id: { ...text, description: 'The account, token, rule, key or job.' },
    },
    ['seq', 'at', 'type', 'by'],
  ),
  AccessReport: object(
    {
      user: { type: ['string', 'null'] },
      groups: several,
      repository: text,
      image: text,
      pull: ref('AccessFinding'),
      push: ref('AccessFinding'),
      delete: ref('AccessFinding'),
      monitor: ref('AccessFinding'),
      admin: ref('AccessFinding'),
    },
    ['user', 'groups'],
  ),
  AccessFinding: object(
    {
      allowed: { type: 'boolean' },
      by: { ...several, description: 'The ids of the rules that allow it.' },
      would_need: {
        ...object({ login: { const: true }, enabled_account: { const: true }, groups: several, rule: ref('Rule') }, []),
        description: 'What would allow it. Each entry alone is enough.',
      },
    },
    ['allowed', 'by'],
  ),
  StoredContent: {
    ...object({ images: count, tags: count, manifests: count, size_bytes: count }),
    description: 'What a dry run would delete. `size_bytes` counts shared content once per image.',
  },
  TrashItem: object(
    {
      image: text,
      digest: ref('Digest'),
      media_type: text,
      tags: { type: 'array', items: text },
      deleted_at: time,
      by: { type: 'object' },
      until: time,
      bytes: count,
    },
    ['image', 'digest', 'media_type', 'tags', 'deleted_at', 'until', 'bytes'],
  ),
  RestoreTrash: {
    ...object({ image: text, digest: ref('Digest'), tags: { type: 'array', items: text } }, ['image', 'digest']),
    additionalProperties: false,
  },
  CollectionRequest: {
    ...object({ grace_seconds: { type: 'number', minimum: 0, maximum: 1e9 } }, []),
    description: 'Shortens the grace period for what deletes left. Blobs of running pushes stay.',
    additionalProperties: false,
  },
  CollectionReport: object(
    {
      dry_run: { type: 'boolean' },
      started_at: time,
      finished_at: time,
      examined: count,
      unlinked: count,
      blobs_deleted: count,
      bytes_freed: count,
      quarantined: count,
      quarantined_bytes: count,
      restored: count,
      uploads_expired: count,
      trash_expired: count,
      pending: {
        ...object({ blobs: count, bytes: count, until_at: time }, ['blobs', 'bytes']),
        description: 'With `grace_seconds`: what nothing refers to and that stays for now.',
      },
    },
    [
      'dry_run',
      'started_at',
      'finished_at',
      'examined',
      'unlinked',
      'blobs_deleted',
      'bytes_freed',
      'quarantined',
      'quarantined_bytes',
      'restored',
      'uploads_expired',
      'trash_expired',
    ],
  ),
  PlannedItem: object(
    {
      kind: { enum: ['tag', 'manifest'] },
      repository: text,
      image: text,
      tag: text,
      digest: ref('Digest'),
      because: text,
      last_used_at: time,
      waiting: { type: 'boolean' },
    },
    ['kind', 'repository', 'image', 'digest', 'because', 'last_used_at', 'waiting'],
  ),
  DamagedBlob: object({
    digest: ref('Digest'),
    problem: {
      enum: ['missing', 'size', 'digest'],
      description: 'Missing, or another size or digest than it should have.',
    },
    uses: {
      type: 'array',
      items: object({ repository: text, image: text, tag: text, manifest: ref('Digest') }, ['repository', 'image']),
      description: 'The tags that need it, and manifests without a tag; the first 50.',
    },
    found_at: time,
  }),
  QuarantinedBlob: object({ digest: ref('Digest'), size_bytes: count, quarantined_at: time, expires_at: time }),
  Person: object(
    {
      name: text,
      source: { enum: ['account', 'htpasswd', 'oidc', 'host'] },
      groups: several,
      tokens: count,
      disabled: { type: 'boolean' },
      last_login_at: time,
    },
    ['name', 'source', 'groups', 'tokens', 'disabled'],
  ),
  Token: object(
    {
      id: text,
      account: text,
      description: text,
      limits: { type: 'array', items: { type: 'object' } },
      created_at: time,
      expires_at: time,
    },
    ['id', 'account', 'description', 'created_at'],
  ),
  Key: object({ id: text, origin, signs: { type: 'boolean' }, created_at: time }),
};
