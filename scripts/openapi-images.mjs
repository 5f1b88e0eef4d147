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
const staying = object({ digest, because: { enum: ['tag', 'index', 'subject', 'changed'] }, by: text }, [
  'digest',
  'because',
]);
const refused = object(
  {
    tag: text,
    digest,
    reason: { enum: ['unknown', 'immutable', 'moved', 'busy', 'member'] },
    by: { ...text, description: 'The pattern that makes the tag immutable, or the member that has it.' },
    message: text,
  },
  ['reason', 'message'],
);

/** The operations on images. */
export const imageOperations = {
  'image.delete': {
    body: {
      schema: {
        ...object({ tags: list(text), digests: list(digest), all: flag, dry_run: flag }, []),
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
        ...object({ tag: text, reference: text, expected: orNull(digest) }, ['tag', 'reference']),
        additionalProperties: false,
      },
    },
    answers: { 200: { schema: object({ tag: text, digest, was: orNull(digest) }) } },
  },
};
