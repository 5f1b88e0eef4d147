// Builds the OpenAPI document from the tables of src/protocol/ and the schemas that check documents.
import { STATUS_CODES } from 'node:http';
import { answerSchemas, operations, ref, shownWith } from './openapi-operations.mjs';
import { mapSchemas, toJsonSchema, withoutCode } from './option-schemas.mjs';

/**
 * @typedef {import('./write-docs.mjs').Tables} Tables
 * @typedef {import('./write-docs.mjs').Operation} Operation
 * @typedef {import('./write-docs.mjs').QueryParameter} QueryParameter
 * @typedef {import('./openapi-operations.mjs').Schema} Schema
 * @typedef {import('./openapi-operations.mjs').Content} Content
 */

/** Placeholders that match several path segments, which OpenAPI cannot express. */
const wide = new Set(['name', 'image']);

/**
 * Builds the document of docs/openapi.json. The same tables always give the same document.
 * @param {Tables} tables
 * @returns {object}
 */
export function buildOpenApi(tables) {
  const { endpoints, managementEndpoints, version } = tables;
  const paths = {};
  for (const row of [...endpoints, ...managementEndpoints]) {
    const path = row.path.replace(/:([a-z]+)/g, '{$1}');
    paths[path] ??= describePath(row.path, tables);
    paths[path][row.method.toLowerCase()] = describeOperation(row, tables);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'artifactapi',
      version,
      description: [
        'The registry under `/v2` implements the OCI distribution specification. Clients require it at the root of the host.',
        'The management API under `/api/v1` is relative to where the host mounts it. `{name}` and `{image}` match several path',
        'segments: send the slashes of `{name}` unencoded; those of `{image}` may be encoded. HEAD is answered like GET, without a body. `x-access` is the access that the caller needs, see docs/security.md.',
      ].join(' '),
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    // The configuration of a registry determines which of them applies.
    security: [{ basic: [] }, { bearer: [] }, {}],
    paths,
    components: describeComponents(tables),
  };
}

function describePath(/** @type {string} */ path, /** @type {Tables} */ { placeholderPatterns }) {
  const names = [...path.matchAll(/:([a-z]+)/g)].map((match) => match[1]);
  if (names.length === 0) return {};
  const parameters = names.map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', pattern: placeholderPatterns[name].source },
    ...(wide.has(name) ? { 'x-multi-segment': true, description: 'One or more path segments.' } : {}),
  }));
  return { parameters };
}

function describeOperation(
  /** @type {Operation} */ { op, access, spec, summary, query = [] },
  /** @type {Tables} */ { namespaceQuery },
) {
  const details = operations[op];
  if (details === undefined) throw new Error(`operation "${op}" is missing in scripts/openapi-operations.mjs`);
  const { parameters = [], body, answers } = details;
  const names = access === 'pull' ? [...query, namespaceQuery] : query;
  const all = [...names.map(describeQuery), ...parameters];
  const statuses = Object.entries(answers).map(([status, content]) => [
    status,
    { description: STATUS_CODES[status], ...describeHeaders(content), ...describeContent(content) },
  ]);
  return {
    operationId: op,
    tags: [op.split('.')[0]],
    summary,
    ...(all.length === 0 ? {} : { parameters: all }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: body.schema !== undefined && body.optional !== true, ...describeContent(body) } }),
    responses: { ...Object.fromEntries(statuses), default: { $ref: '#/components/responses/Refusal' } },
    ...(access === 'none' ? { security: [] } : {}),
    'x-access': access,
    'x-spec': spec,
  };
}

function describeQuery(/** @type {QueryParameter} */ { name, description, takes, required = false, default: usual }) {
  const schema = { ...schemaOf(takes), ...(usual === undefined ? {} : { default: usual }) };
  return { name, in: 'query', required, schema, description };
}

/** @returns {import('./openapi-operations.mjs').Schema} */
function schemaOf(/** @type {QueryParameter['takes']} */ takes) {
  if (Array.isArray(takes)) return { enum: takes };
  if (takes === 'texts') return { type: 'array', items: { type: 'string' } };
  if (takes === 'count') return { type: 'integer', minimum: 0 };
  if (takes === 'boolean') return { type: 'boolean' };
  if (takes === 'digest') return ref('Digest');
  return takes === 'name' ? ref('Name') : { type: 'string' };
}

/** Describes a body: JSON if it has a schema and no types, bytes if it has no schema. */
function describeContent(/** @type {Content} */ { schema, types = schema === undefined ? [] : ['application/json'] }) {
  if (types.length === 0) return {};
  return { content: Object.fromEntries(types.map((type) => [type, schema === undefined ? {} : { schema }])) };
}

function describeHeaders(/** @type {Content} */ { headers = [] }) {
  if (headers.length === 0) return {};
  return { headers: Object.fromEntries(headers.map((name) => [name, { schema: { type: 'string' } }])) };
}

function describeComponents(/** @type {Tables} */ tables) {
  const { errorTable, placeholderPatterns } = tables;
  const body = {
    type: 'object',
    properties: { code: { enum: Object.keys(errorTable) }, message: { type: 'string' }, detail: {} },
    required: ['code', 'message'],
  };
  return {
    schemas: {
      Name: { type: 'string', pattern: placeholderPatterns.name.source, maxLength: 255 },
      Digest: { type: 'string', pattern: placeholderPatterns.digest.source },
      ...describeDocuments(tables.documents),
      ...answerSchemas,
      Errors: {
        type: 'object',
        properties: { errors: { type: 'array', minItems: 1, items: body } },
        required: ['errors'],
        'x-codes': errorTable,
      },
    },
    responses: {
      Refusal: {
        description: 'The error. Each code has the status in `x-codes` unless a more specific one applies.',
        ...describeHeaders({ headers: ['WWW-Authenticate', 'Retry-After', 'Allow'] }),
        ...describeContent({ schema: ref('Errors') }),
      },
    },
    securitySchemes: {
      basic: { type: 'http', scheme: 'basic' },
      bearer: {
        type: 'http',
        scheme: 'bearer',
        description: 'A token from `GET /v2/token` or from an external token server.',
      },
    },
  };
}

/** Describes the documents of the API. A PUT has the name in its path, so no schema requires it. */
function describeDocuments(
  /** @type {Tables['documents']} */ { repositories, account, person, token, rule, sync, webhook },
) {
  const types = Object.entries(repositories).map(([type, checker]) => [
    `${type.charAt(0).toUpperCase()}${type.slice(1)}Repository`,
    describeRepository(type, describeChecker(checker)),
  ]);
  return {
    Repository: { oneOf: types.map(([name]) => ref(name)) },
    ...Object.fromEntries(types),
    PersonChange: describeChecker(person),
    Account: withShown(describeChecker(account), shownWith.account),
    TokenSettings: describeChecker(token),
    Rule: withShown(describeChecker(rule), shownWith.rule),
    Sync: withShown(toSnakeCase(describeChecker(sync)), shownWith.sync),
    Webhook: describeWebhook(toSnakeCase(describeChecker(webhook))),
  };
}

/** Describes a webhook as `encodeWebhook` writes and `decodeWebhook` reads it. */
function describeWebhook(/** @type {any} */ schema) {
  const { secret, previous_secret: previous, headers } = schema.properties;
  const kept = 'A `PUT` without it keeps the present one';
  secret.description += ` ${kept}; another one makes the present one the previous one.`;
  previous.description += ` ${kept}; \`null\` removes it.`;
  headers.description += ` ${kept}; \`null\` removes them.`;
  for (const each of [secret, previous, headers]) each.writeOnly = true;
  schema.properties.previous_secret = { ...previous, type: [previous.type, 'null'] };
  schema.properties.headers = { ...headers, type: [headers.type, 'null'] };
  // It is never shown.
  schema.required = schema.required.filter((/** @type {string} */ name) => name !== 'secret');
  return withShown(schema, shownWith.webhook);
}

/** Describes a repository as `encodeRepository` writes and `decodeRepository` reads it. */
function describeRepository(/** @type {string} */ type, /** @type {any} */ schema) {
  const { type: repoType, ...settings } = schema.properties;
  if (type === 'remote') {
    const { anyOf } = settings.credentials;
    settings.credentials = {
      // Only the options may name a program.
      anyOf: [...anyOf.filter((/** @type {any} */ { properties }) => properties?.exec === undefined), { type: 'null' }],
      writeOnly: true,
      description: '`null` removes them.',
    };
  }
  const shown = { ...(type === 'remote' ? shownWith.remote : {}), ...shownWith.repository };
  const properties = { package_type: { const: 'docker' }, repo_type: repoType, ...settings, ...shown };
  const required = ['package_type', 'repo_type', ...schema.required.filter((name) => name !== 'type')];
  return toSnakeCase({ ...schema, properties, required });
}

/** Describes the input of a zod schema. */
function describeChecker(/** @type {import('zod/mini').ZodMiniType} */ checker) {
  const { title: _title, ...schema } = withoutCode(toJsonSchema(checker));
  const required = (schema.required ?? []).filter((/** @type {string} */ name) => name !== 'name');
  return { ...schema, required };
}

function withShown(/** @type {any} */ schema, /** @type {object} */ shown) {
  return { ...schema, properties: { ...schema.properties, ...shown } };
}

/** Converts the names of properties to snake case, at any depth and in descriptions. */
function toSnakeCase(/** @type {import('./option-schemas.mjs').Schema} */ schema) {
  const spell = (/** @type {string} */ name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return mapSchemas(schema, ({ properties, required, description, ...rest }) => ({
    ...rest,
    ...(description === undefined ? {} : { description: description.replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, spell) }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [spell(name), each])) }),
    ...(required === undefined ? {} : { required: required.map(spell) }),
  }));
}
