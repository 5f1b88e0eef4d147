// Writes docs/http-api.md from the tables of the compiled package: `npm run docs`. A test fails when the file is stale.
import { writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * @typedef {{ op: string, method: string, path: string, access: string, spec: string, summary: string }} Operation
 * @typedef {object} Tables
 * @property {readonly Operation[]} endpoints Everything under `/v2`.
 * @property {readonly Operation[]} managementEndpoints Everything under `/api/v1`.
 * @property {Readonly<Record<string, { status: number, message: string }>>} errorTable
 */

/**
 * docs/http-api.md. The same tables always give the same text.
 * @param {Tables} tables
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
    'UTC. How accounts, tokens and rules are used: [access.md](access.md).',
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

async function writeDocs() {
  const load = (/** @type {string} */ module) =>
    import(new URL(`../dist/src/protocol/${module}.js`, import.meta.url).href);
  const [{ endpoints }, { managementEndpoints }, { errorTable }] = await Promise.all(
    ['endpoints', 'management', 'errors'].map(load),
  );
  const file = fileURLToPath(new URL('../docs/http-api.md', import.meta.url));
  await writeFile(file, renderHttpApi({ endpoints, managementEndpoints, errorTable }));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await writeDocs();
