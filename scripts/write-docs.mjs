// Writes docs/http-api.md and docs/openapi.json from the tables of the compiled package: `npm run docs`. A test fails when
// one of them is stale.
import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { buildOpenApi } from './openapi.mjs';

/**
 * @typedef {object} QueryParameter
 * @property {string} name
 * @property {string} description
 * @property {string | readonly string[]} [takes] Text unless it says otherwise.
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
 * @property {readonly Operation[]} endpoints Everything under `/v2`.
 * @property {readonly Operation[]} managementEndpoints Everything under `/api/v1`.
 * @property {QueryParameter} namespaceQuery On every operation that pulls.
 * @property {Readonly<Record<string, { status: number, message: string }>>} errorTable
 * @property {Readonly<Record<string, RegExp>>} placeholderPatterns What a placeholder takes.
 * @property {Documents} documents What checks the documents that the management API takes.
 * @property {string} version Of the package.
 *
 * @typedef {object} Documents
 * @property {Readonly<Record<string, import('zod').ZodType>>} repositories By type.
 * @property {import('zod').ZodType} account
 * @property {import('zod').ZodType} token
 * @property {import('zod').ZodType} rule
 */

/**
 * docs/openapi.json. The same tables always give the same text.
 * @param {Tables} tables
 * @returns {string}
 */
export function renderOpenApi(tables) {
  return `${JSON.stringify(buildOpenApi(tables), null, 2)}\n`;
}

/**
 * docs/http-api.md. The same tables always give the same text.
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
    'A placeholder is named after what it takes. `:name` is a name on the wire, repository and image',
    '(`docker-internal/team/app`), and takes several path segments, as `:image` does. `:digest` is `sha256:` or `sha512:`',
    'and lower-case hex, `:reference` a tag or a digest, `:session` the id of an upload, `:repository` the name of a',
    'configured repository, `:account` that of an account, `:token` the id of one of its tokens, `:rule` the id of a rule.',
    '*Access* is what the caller needs: see [security.md](security.md). *Spec* is the endpoint of the OCI distribution',
    'specification, or the other document that says so.',
    '',
    '## The registry: `/v2`',
    '',
    ...renderOperations(endpoints, 'Spec', ({ spec }) => spec),
    '',
    '## The management API: `/api/v1`',
    '',
    'Paths are relative to where the host mounts `registry.management`. Documents are JSON in snake case, times RFC 3339 in',
    'UTC. A query parameter that an operation does not know is refused with 400 `OPTIONS_INVALID`, which names it. How',
    'accounts, tokens and rules are used: [access-control.md](access-control.md).',
    '',
    ...renderOperations(managementEndpoints),
    '',
    '## Errors',
    '',
    'The body of a refusal is `{"errors":[{"code":"…","message":"…","detail":…}]}`; `detail` may be absent. Status and',
    'message are those of this table unless the case has better ones.',
    '',
    ...renderTable(['Code', 'Status', 'Message'], codes),
    '',
  ].join('\n');
}

/**
 * @param {readonly Operation[]} operations
 * @param {string} [title] Of one more column.
 * @param {(operation: Operation) => string} [cell] Its content.
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

/** @returns {Promise<Tables>} */
async function loadTables() {
  const load = (/** @type {string} */ module) =>
    import(new URL(`../dist/src/protocol/${module}.js`, import.meta.url).href);
  const { endpoints } = await load('tables/endpoints');
  const { managementEndpoints } = await load('tables/management');
  const { namespaceQuery } = await load('tables/query-parameters');
  const { errorTable } = await load('errors');
  const { placeholderPatterns } = await load('tables/route-table');
  const { repositorySchemas } = await load('settings/repository-config');
  const { accountSchema, tokenSchema } = await load('tables/access-documents');
  const { accessRuleSchema } = await load('settings/access-config');
  const documents = {
    repositories: repositorySchemas,
    account: accountSchema,
    token: tokenSchema,
    rule: accessRuleSchema,
  };
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return { endpoints, managementEndpoints, namespaceQuery, errorTable, placeholderPatterns, documents, version };
}

async function writeDocs() {
  const tables = await loadTables();
  await writeFile(new URL('../docs/http-api.md', import.meta.url), renderHttpApi(tables));
  await writeFile(new URL('../docs/openapi.json', import.meta.url), renderOpenApi(tables));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await writeDocs();
