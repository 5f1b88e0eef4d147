// The bodies and responses of the operations on images of the management API; see openapi-operations.mjs.

/** @typedef {Readonly<Record<string, unknown>>} Schema JSON Schema, 2020-12. */

const text = { type: 'string' };
const count = { type: 'integer', minimum: 0 };
const time = { type: 'string', format: 'date-time' };
const digest = { $ref: '#/components/schemas/Digest' };
const flag = { type: 'boolean' };
const list = (/** @type {Schema} */ items) => ({ type: 'array', items });
const orNull = (/** @type {Schema} */ schema) => ({ anyOf: [schema, { type: 'null' }] });

/** @returns {Schema} */
function object(/** @type {Readonly<Record<string, Schema>>} */ properties, required = Object.keys(properties)) {
  return { type: 'object', properties, required };
}

const tagged = object({ tag: text, digest });
const deletedManifest = object({ digest, media_type: text, size_bytes: count });
const staying = object({ digest, because: { enum: ['tag', 'index', 'subject', 'changed', 'hook'] }, by: text }, [
  'digest',
  'because',
]);
const refused = object(
  {
    tag: text,
    digest,
    reason: { enum: ['unknown', 'immutable', 'moved', 'busy', 'member', 'hook'] },
    by: {
      ...text,
      description: 'The pattern that makes the tag immutable, the reason of the hook, or the member that has it.',
    },
    message: text,
  },
  ['reason', 'message'],
);

const texts = list(text);
const annotations = { type: 'object', additionalProperties: text };
const pulls = {
  pulled_at: orNull(time),
  pulls: count,
  recent_pulls: { ...count, description: 'Of the last 30 days.' },
};
const image = object(
  {
    repository: text,
    name: text,
    member: text,
    manifests: count,
    tags: count,
    size_bytes: count,
    unique_bytes: count,
    updated_at: time,
    pushed_at: time,
    ...pulls,
  },
  ['repository', 'name', 'manifests', 'tags', 'size_bytes', 'updated_at', 'pushed_at', ...Object.keys(pulls)],
);
const manifestRow = {
  member: text,
  digest,
  media_type: text,
  type: { enum: ['image', 'index', 'artifact'] },
  artifact_type: text,
  platforms: texts,
  manifest_size_bytes: count,
  size_bytes: { ...count, description: 'With its content; of an index, with the stored manifests that it lists.' },
  pushed_at: time,
  ...pulls,
};
const rowFields = ['digest', 'media_type', 'type', 'manifest_size_bytes', 'size_bytes', 'pushed_at', 'pulled_at'];
const tagRow = object(
  {
    name: text,
    ...manifestRow,
    updated_at: time,
    pushed_by: { ...text, description: 'Who moved the tag to this digest.' },
    immutable: { ...text, description: 'The pattern that makes the tag immutable.' },
    checked_at: time,
    fresh_until: time,
    pinned_by: { ...texts, description: 'The pins of the cache that keep it.' },
  },
  ['name', ...rowFields],
);
const images = { 200: { schema: object({ images: list(image) }), headers: ['Link'] } };
const content = { digest: text, media_type: text, size_bytes: count };
const contentFields = Object.keys(content);
const layer = object({ ...content, created_by: text, elsewhere: count }, [...contentFields, 'elsewhere']);
const config = object(
  {
    ...content,
    created: text,
    author: text,
    platform: text,
    entrypoint: texts,
    cmd: texts,
    user: text,
    working_dir: text,
    exposed_ports: texts,
    volumes: texts,
    env: texts,
    labels: annotations,
    stop_signal: text,
  },
  contentFields,
);
const manifestDetails = object(
  {
    member: text,
    digest,
    media_type: text,
    type: manifestRow.type,
    artifact_type: text,
    manifest_size_bytes: count,
    size_bytes: count,
    pushed_at: time,
    tags: texts,
    named_by: { ...list(digest), description: 'The indexes of the image that list it.' },
    platforms: list(object({ platform: text, digest: text, size_bytes: count, stored: flag })),
    attestations: list(
      object({ ...content, about: text, predicate_types: texts }, [...contentFields, 'predicate_types']),
    ),
    config,
    layers: list(layer),
    referrers: list(
      object({ ...content, artifact_type: text, tag: text, annotations }, [...contentFields, 'annotations']),
    ),
    subject: text,
    annotations,
    raw: { ...text, description: 'The bytes of the manifest.' },
  },
  ['digest', 'media_type', 'type', 'manifest_size_bytes', 'size_bytes', 'pushed_at', 'tags', 'named_by'].concat([
    'platforms',
    'attestations',
    'layers',
    'referrers',
    'annotations',
    'raw',
  ]),
);
const summary = object(
  {
    members: texts,
    manifests: count,
    tags: count,
    untagged: count,
    size_bytes: count,
    unique_bytes: count,
    updated_at: time,
    pushed_at: time,
    ...pulls,
    immutable: object({ tags: texts, except: texts }),
    retention: object(
      {
        keep: list(object({ tags: texts, newest: count, used_within_seconds: count }, ['tags'])),
        untagged: object({ keep_seconds: count }),
      },
      [],
    ),
    quotas: {
      ...list(object({ name: text, max_bytes: count, used_bytes: count })),
      description: 'The quotas that the image counts towards. Only for callers who may push to it.',
    },
  },
  ['manifests', 'tags', 'untagged', 'size_bytes', 'unique_bytes', 'updated_at', 'pushed_at', ...Object.keys(pulls)],
);
const move = object({
  move: count,
  at: time,
  by: object({ principal: text, via: text }),
  digest: orNull(digest),
  was: orNull(digest),
  present: flag,
});

/** The operations on images. */
export const imageOperations = {
  'image.listAll': { answers: images },
  'image.list': { answers: images },
  'image.tags': {
    answers: {
      200: {
        schema: {
          anyOf: [object({ tags: list(tagRow) }), object({ manifests: list(object(manifestRow, rowFields)) })],
        },
        headers: ['Link'],
      },
    },
  },
  'image.summary': { answers: { 200: { schema: summary } } },
  'image.manifest': { answers: { 200: { schema: manifestDetails } } },
  'image.history': { answers: { 200: { schema: object({ moves: list(move) }), headers: ['Link'] } } },
  'image.blob': {
    answers: { 200: { types: ['application/octet-stream'], headers: ['Content-Disposition'] } },
  },
  'image.delete': {
    body: {
      schema: {
        ...object({ tags: list(text), digests: list(digest), all: flag, dry_run: flag, override: flag }, []),
        additionalProperties: false,
      },
    },
    answers: {
      200: {
        schema: object({
          dry_run: flag,
          tags: list(tagged),
          manifests: list(deletedManifest),
          stays: list(staying),
          refused: list(refused),
          counts: object({ tags: count, manifests: count, stays: count, refused: count }),
          frees_bytes: count,
          frees_at: orNull(time),
        }),
      },
    },
  },
  'image.moveTag': {
    body: {
      schema: {
        ...object({ tag: text, reference: text, expected: orNull(digest), override: flag }, ['tag', 'reference']),
        additionalProperties: false,
      },
    },
    answers: { 200: { schema: object({ tag: text, digest, was: orNull(digest) }) } },
  },
};
