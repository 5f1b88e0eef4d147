// `npm run docs`: writes docs/http-api.md, docs/openapi.json, docs/configuration.md, docs/config.schema.json and
// src/options/generated/ from the tables and schemas of the compiled package. A test fails if any of them is outdated.
import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { renderConfigSchema, renderConfiguration } from './configuration.mjs';
import { buildOpenApi } from './openapi.mjs';
import { renderInterfaces } from './option-interfaces.mjs';

export { renderConfigSchema, renderConfiguration, renderInterfaces };

/**
 * @typedef {object} QueryParameter
 * @property {string} name
 * @property {string} description
 * @property {string | readonly string[]} [takes] Absent: a text.
 * @property {boolean} [required]
 * @property {string | boolean} [default]
 *
 * @typedef {object} Operation
 * @property {string} op
 * @property {string} method
 * @property {string} path
 * @property {string} access
 * @property {string} spec
 * @property {string} summary
 * @property {readonly QueryParameter[]} [query]
 *
 * @typedef {object} Tables
 * @property {readonly Operation[]} endpoints All operations under `/v2`.
 * @property {readonly Operation[]} managementEndpoints All operations under `/api/v1`.
 * @property {QueryParameter} namespaceQuery The parameter of all operations that pull.
 * @property {Readonly<Record<string, { status: number, message: string }>>} errorTable
 * @property {Readonly<Record<string, RegExp>>} placeholderPatterns The values that placeholders match.
 * @property {Documents} documents The schemas of the documents of the management API.
 * @property {string} version The version of the package.
 *
 * @typedef {object} Documents
 * @property {Readonly<Record<string, import('zod/mini').ZodMiniType>>} repositories By type.
 * @property {import('zod/mini').ZodMiniType} account
 * @property {import('zod/mini').ZodMiniType} token
 * @property {import('zod/mini').ZodMiniType} rule
 * @property {import('zod/mini').ZodMiniType} sync
 * @property {import('zod/mini').ZodMiniType} webhook
 */

/**
 * Renders docs/openapi.json. The same tables always give the same text.
 * @param {Tables} tables
 * @returns {string}
 */
export function renderOpenApi(tables) {
  return `${JSON.stringify(buildOpenApi(tables), null, 2)}\n`;
}

/**
 * Renders docs/http-api.md. The same tables always give the same text.
 * @param {Pick<Tables, 'endpoints' | 'managementEndpoints' | 'errorTable'>} tables
 * @returns {string}
 */
export function renderHttpApi({ endpoints, managementEndpoints, errorTable }) {
  const codes = Object.entries(errorTable).map(([code, { status, message }]) => [quote(code), String(status), message]);
  return [
    '# HTTP API',
    '',
    '<!-- Written by `npm run docs` from src/protocol/. Change the tables there, not this file. -->',
    '',
    '`:name` is a repository and an image (`docker-internal/team/app`). `:name` and `:image` match several path segments.',
    '`:digest` is `sha256:` or `sha512:` and lower-case hex, `:reference` a tag or a digest, `:session` the id of an upload,',
    '`:repository` the name of a configured repository, `:account` the name of an account, `:token` the id of one of its',
    'tokens, `:rule` the id of a rule, `:sync` the name of a sync, `:webhook` the name of a webhook, and `:delivery` the number',
    'of one of its deliveries. *Access* is the permission that the caller needs: see [security.md](security.md). *Spec* is the',
    'endpoint in the OCI distribution specification, or another document that defines the operation. HEAD is answered like',
    'GET, with the same headers and without a body, on every path with GET.',
    '',
    '## The registry: `/v2`',
    '',
    ...renderOperations(endpoints, 'Spec', ({ spec }) => spec),
    '',
    '## The management API: `/api/v1`',
    '',
    'Paths are relative to where the host mounts `registry.management`. Documents are JSON in snake case; times are RFC 3339 in',
    'UTC. Unknown query parameters are refused with 400 `OPTIONS_INVALID`. For accounts, tokens and rules, see',
    '[access-control.md](access-control.md).',
    '',
    ...renderOperations(managementEndpoints),
    '',
    '## Errors',
    '',
    'The body of an error is `{"errors":[{"code":"…","message":"…","detail":…}]}`; `detail` may be absent. The table lists the',
    'default status and message. Some errors have more specific ones.',
    '',
    ...renderTable(['Code', 'Status', 'Message'], codes),
    '',
  ].join('\n');
}

/**
 * @param {readonly Operation[]} operations
 * @param {string} [title] The title of an additional column.
 * @param {(operation: Operation) => string} [cell] Returns the content of the additional column.
 * @returns {string[]}
 */
function renderOperations(operations, title, cell) {
  const rows = operations.map((operation) => {
    const { op, method, path, access, summary } = operation;
    return [method, quote(path), quote(op), access, ...(cell === undefined ? [] : [cell(operation)]), summary];
  });
  return renderTable(
    ['Method', 'Path', 'Operation', 'Access', ...(title === undefined ? [] : [title]), 'Summary'],
    rows,
  );
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 * @returns {string[]}
 */
function renderTable(head, rows) {
  return [head, head.map(() => '---'), ...rows].map(
    (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`,
  );
}

/** @param {string} text */
function quote(text) {
  return `\`${text}\``;
}

/** @typedef {(module: string) => Promise<any>} Load Loads a module of src/ by its path without the ending. */

/** @type {Load} */
const loadBuilt = (module) => import(new URL(`../dist/src/${module}.js`, import.meta.url).href);

/**
 * Loads the tables from which the documents of the API are generated.
 * @param {Load} load
 * @returns {Promise<Tables>}
 */
export async function loadTables(load) {
  const { endpoints } = await load('protocol/tables/endpoints');
  const { managementEndpoints } = await load('protocol/tables/management');
  const { namespaceQuery } = await load('protocol/tables/query-parameters');
  const { errorTable } = await load('protocol/errors');
  const { placeholderPatterns } = await load('protocol/tables/route-table');
  const { repositorySchemas } = await load('protocol/settings/repository-config');
  const { syncFieldsSchema } = await load('protocol/settings/sync-config');
  const { webhookFieldsSchema } = await load('protocol/settings/webhook-config');
  const { accountSchema, personSchema, tokenSchema } = await load('protocol/tables/documents/access-documents');
  const { accessRuleSchema } = await load('protocol/settings/access-config');
  const documents = {
    repositories: repositorySchemas,
    sync: syncFieldsSchema,
    webhook: webhookFieldsSchema,
    account: accountSchema,
    person: personSchema,
    token: tokenSchema,
    rule: accessRuleSchema,
  };
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return { endpoints, managementEndpoints, namespaceQuery, errorTable, placeholderPatterns, documents, version };
}

/** @returns {Promise<import('./configuration.mjs').Sources>} */
async function loadSources() {
  const { optionsSchema } = await loadBuilt('options/options-schema');
  const { serverSchema } = await loadBuilt('command/config-file');
  const { buildProgram } = await loadBuilt('command/commands');
  const { secondsPerUnit, bytesPerUnit } = await loadBuilt('command/units');
  return {
    optionsSchema,
    serverSchema,
    serveFlags: buildProgram().commands.find((command) => command.name() === 'serve').options,
    secondsPerUnit,
    bytesPerUnit,
  };
}

async function writeDocs() {
  const docs = new URL('../docs/', import.meta.url);
  const [tables, sources] = [await loadTables(loadBuilt), await loadSources()];
  const configuration = await readFile(new URL('configuration.md', docs), 'utf8');
  await writeFile(new URL('http-api.md', docs), renderHttpApi(tables));
  await writeFile(new URL('openapi.json', docs), renderOpenApi(tables));
  await writeFile(new URL('configuration.md', docs), renderConfiguration(configuration, sources));
  await writeFile(new URL('config.schema.json', docs), renderConfigSchema(sources));
  for (const [file, text] of Object.entries(renderInterfaces(sources.optionsSchema))) {
    await writeFile(new URL(`../src/options/generated/${file}`, import.meta.url), text);
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await writeDocs();
