// Converts the option schemas in src/ to JSON Schema, from which the other scripts write interfaces and documents.
import { z } from 'zod/mini';

/** @typedef {Record<string, any>} Schema JSON Schema 2020-12 with the metadata listed in option-schema.ts. */

/**
 * Converts the input of a zod schema. A `chosenSchema` becomes its alternatives.
 * @param {z.ZodMiniType} checker
 * @returns {Schema}
 */
export function toJsonSchema(checker) {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(checker, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // zod omits the defaults of schemas with a transform.
      const { def } = /** @type {any} */ (zodSchema);
      if (def.type === 'default' && typeof def.defaultValue !== 'function') jsonSchema.default = def.defaultValue;
      if (!Array.isArray(jsonSchema.alternatives)) return;
      jsonSchema.anyOf = jsonSchema.alternatives.map(toJsonSchema);
      delete jsonSchema.alternatives;
    },
  });
  return schema;
}

/**
 * Removes values that only code can provide, and the keys that are not JSON Schema.
 * @param {Schema} schema
 * @returns {Schema}
 */
export function withoutCode(schema) {
  return mapSchemas(schema, ({ unset: _unset, typescript: _typescript, oneRequired, anyOf, properties, ...rest }) => ({
    ...rest,
    ...(anyOf === undefined ? {} : { anyOf: anyOf.filter(isJson) }),
    ...(oneRequired === undefined
      ? {}
      : { anyOf: oneRequired.map((/** @type {string} */ name) => ({ required: [name] })) }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).filter(([, each]) => isJson(each))) }),
  }));
}

/** Returns whether a schema describes JSON. The schema of a function or class is empty, which would accept everything. */
function isJson(/** @type {Schema} */ schema) {
  return ['type', 'anyOf', 'oneOf', 'allOf', 'enum', 'const', '$ref'].some((key) => key in schema);
}

/**
 * Replaces every schema in a schema, the inner ones first.
 * @param {Schema} schema
 * @param {(schema: Schema) => Schema} change
 * @returns {Schema}
 */
export function mapSchemas(schema, change) {
  const inner = (/** @type {any} */ each) => mapSchemas(each, change);
  const parts = Object.entries(schema).map(([key, part]) => {
    if (['anyOf', 'oneOf', 'allOf'].includes(key)) return [key, part.map(inner)];
    if (key === 'items' || (key === 'additionalProperties' && typeof part === 'object')) return [key, inner(part)];
    if (key !== 'properties') return [key, part];
    return [key, Object.fromEntries(Object.entries(part).map(([name, each]) => [name, inner(each)]))];
  });
  return change(Object.fromEntries(parts));
}
