import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { createLocalAccess } from '../../src/access/local-access.js';
import { anonymous } from '../../src/util/anonymous.js';
import { endpoints } from '../../src/protocol/tables/endpoints.js';
import { managementEndpoints } from '../../src/protocol/tables/management.js';
import { refusalReasons } from '../../src/protocol/refusal-reasons.js';
import { loadTables, loadWriter, operationsOf, type OpenApi } from '../support/openapi.js';

const root = path.join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

const tables = await loadTables();

/** Returns the files below a folder, except installed, built and generated ones. */
function listFiles(folder: string): string[] {
  const skipped = new Set(['node_modules', 'dist', 'data', 'coverage', 'artifacts', '.git', '.e2e-tools']);
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return [];
    const file = path.posix.join(folder, entry.name);
    return entry.isDirectory() ? listFiles(file) : [file];
  });
}

/** Returns the rows of the tables of options, by the name in their first cell. */
function rowsOf(markdown: string): ReadonlyMap<string, string> {
  const rows = markdown.split('\n').filter((line) => line.startsWith('| `'));
  return new Map(rows.map((row) => [row.split('`')[1] ?? '', row]));
}

describe('docs/http-api.md', () => {
  it('is up to date with the tables: if not, run `npm run docs`', async () => {
    const { renderHttpApi } = await loadWriter();
    expect(read('docs/http-api.md')).toBe(renderHttpApi(tables));
  });

  it('changes with a table', async () => {
    const { renderHttpApi } = await loadWriter();
    const [first, ...rest] = endpoints;
    const changed = [{ ...first, path: '/v3/' }, ...rest];
    expect(renderHttpApi({ ...tables, endpoints: changed })).not.toBe(read('docs/http-api.md'));
  });
});

describe('refusal reasons', () => {
  it('are all in the health schema of docs/openapi.json and in docs/operations.md', () => {
    const health = operationsOf(JSON.parse(read('docs/openapi.json')) as OpenApi).get('health.get');
    const schema = health?.responses['200']?.content?.['application/json']?.schema;
    const { refusals } = (schema as { properties: { refusals: { required: string[] } } }).properties;
    expect(refusals.required).toEqual([...refusalReasons]);
    const rows = [...rowsOf(read('docs/operations.md')).keys()];
    expect(rows).toEqual(expect.arrayContaining([...refusalReasons]));
  });
});

describe('docs/openapi.json', () => {
  const text = read('docs/openapi.json');
  const document = JSON.parse(text) as OpenApi;
  const operations = operationsOf(document);
  const rows = [...endpoints, ...managementEndpoints];

  it('is up to date with the tables: if not, run `npm run docs`', async () => {
    const { renderOpenApi } = await loadWriter();
    expect(text).toBe(renderOpenApi(tables));
  });

  it('is valid OpenAPI 3.1', async () => {
    expect(document.openapi).toBe('3.1.0');
    expect(await new Validator().validate(text)).toEqual({ valid: true });
  });

  it('has all operations of the tables, and no others', () => {
    expect([...operations.keys()].toSorted()).toEqual(rows.map(({ op }) => op).toSorted());
  });

  it('cannot be written for an operation that scripts/openapi-operations.mjs does not describe', async () => {
    const { renderOpenApi } = await loadWriter();
    const added = { ...endpoints[0], op: 'version.other' };
    expect(() => renderOpenApi({ ...tables, endpoints: [...endpoints, added] })).toThrow('version.other');
  });

  // Summaries put names of the request or response in backticks.
  const named = rows.flatMap(({ op, summary }) =>
    [...summary.matchAll(/`([^`=]+)[^`]*`/g)].map((match) => [op, match[1] ?? ''] as const),
  );

  it.each(named)('describes %s with %s, which its summary mentions', (op, name) => {
    const followed = JSON.stringify({ ...operations.get(op), summary: '' }).replace(
      /"#\/components\/schemas\/(\w+)"/g,
      (_, schema: string) =>
        JSON.stringify((document.components as { schemas: Record<string, object> }).schemas[schema]),
    );
    expect(followed).toContain(`"${name}"`);
  });
});

describe('docs/gateway.md', () => {
  it('shows how to import every adapter', () => {
    const gateway = read('docs/gateway.md');
    const { exports } = JSON.parse(read('package.json')) as { exports: object };
    const adapters = Object.keys(exports).filter((entry) => entry !== '.' && entry !== './package.json');
    expect(adapters).toContain('./express');
    expect(adapters.filter((entry) => !gateway.includes(`from 'artifactapi${entry.slice(1)}'`))).toEqual([]);
  });
});

describe('messages in the documentation', () => {
  const source = listFiles('src')
    .map((file) => read(file))
    .join('\n');
  const messages = ['docs/operations.md', 'docs/troubleshooting.md'].flatMap((file) => {
    const [, table = ''] = /^<!-- messages: .*?-->\n\n((?:\|.*\n)+)/m.exec(read(file)) ?? [];
    return [...rowsOf(table).keys()].map((message) => [file, message] as const);
  });

  it('are found in both pages', () => {
    expect(new Set(messages.map(([file]) => file)).size).toBe(2);
  });

  it.each(messages)('in %s exist in the source: %s', (_file, message) => {
    const parts = message.split('…').filter((part) => part !== '');
    expect(parts.filter((part) => !source.includes(part))).toEqual([]);
  });
});

describe('docs/security.md', () => {
  const kinds = [...new Set([...endpoints, ...managementEndpoints].map(({ access }) => access))];

  it.each(kinds)('explains the access %s', async (kind) => {
    const row = read('docs/security.md')
      .split('\n')
      .find((line) => line.startsWith('|') && (line.split('|')[1] ?? '').split(/[,\s]+/).includes(kind));
    const who = async (mode: 'open' | 'read-only'): Promise<string> =>
      (await createLocalAccess(mode).permits(anonymous, kind)) ? 'everyone' : 'no one';
    const [, , open, readOnly] = (row ?? '').split('|').map((cell) => cell.trim());
    expect([open, readOnly]).toEqual([await who('open'), await who('read-only')]);
  });
});

describe('the limits in docs/security.md', () => {
  const [, limits = ''] = /^## Limits$(.*?)^## /ms.exec(read('docs/security.md')) ?? [];
  const [, , ...rows] = limits.split('\n').filter((line) => line.startsWith('|'));
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()));
  const options = [...rowsOf(read('docs/configuration.md'))].filter(([name]) => name.startsWith('limits.'));

  it('each have a default, and an option or the word fixed', () => {
    expect(rows.length).toBeGreaterThan(40);
    expect(options.length).toBeGreaterThanOrEqual(6);
    for (const [, limit, value, , option] of cells) {
      expect(value, limit).not.toBe('');
      expect(option, limit).toMatch(/^(?:fixed|`[a-zA-Z.]+`(?:, `[a-zA-Z.]+`| of a repository)?)$/);
    }
  });

  it.each(options)('include %s with its default', (name, documented) => {
    const row = cells.find(([, , , , option]) => option === `\`${name}\``);
    const value = documented.split('|')[2]?.trim().replaceAll('`', '') ?? '';
    expect(row?.[2]).toBe(value === '1024' ? '1 KiB/s over a minute' : value);
  });

  it('include server.maxConnections', () => {
    expect(cells.some(([, , , , option]) => option === '`server.maxConnections`')).toBe(true);
  });
});

describe('docs/storage-layout.md', () => {
  it('shows every key that level-keys.ts shows', () => {
    const drawn = [...read('src/storage/level/level-keys.ts').matchAll(/^ \* {3}([!5]\|\S+)/gm)].map(
      (match) => match[1] ?? '',
    );
    expect(drawn).toContain('!|next-id');
    const documented = [...rowsOf(read('docs/storage-layout.md')).keys()].map((key) => key.replaceAll('\\|', '|'));
    expect(documented.toSorted()).toEqual(drawn.toSorted());
  });
});

describe('AGENTS.md', () => {
  it('lists every folder of src/, and no other folders', () => {
    const rows = readTree(read('AGENTS.md'));
    const folders = new Set(listFiles('src').map((file) => path.posix.dirname(file)));
    folders.delete('src');
    folders.add('src/storage');
    expect(rows.toSorted()).toEqual([...folders].toSorted());
  });

  it('has at most 12 KB', () => {
    expect(Buffer.byteLength(read('AGENTS.md'))).toBeLessThanOrEqual(12 * 1024);
  });
});

/** Returns the paths of the folders in the drawing of `src/`. */
function readTree(markdown: string): string[] {
  const drawing = /^src\/\n((?: +.*\n)+)/m.exec(markdown)?.[1] ?? '';
  const above: string[] = ['src'];
  return [...drawing.matchAll(/^( +)([a-z0-9-]+)\/(?: {2}.*)?$/gm)].map(([, indent = '', name = '']) => {
    const depth = indent.length / 2;
    above.splice(depth, Infinity, name);
    return above.join('/');
  });
}

/** Returns the anchors that GitHub creates for headings. */
function anchorsOf(markdown: string): string[] {
  const headings = markdown.replace(/^```.*?^```/gms, '').matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, text = '']) =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('links in Markdown', () => {
  const files = listFiles('.').filter((file) => file.endsWith('.md'));
  const links = files.flatMap((file) => {
    const text = read(file).replace(/^```.*?^```/gms, '');
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '');
    return targets.filter((target) => !/^[a-z]+:/.test(target)).map((target) => [file, target] as const);
  });

  it('are found', () => {
    expect(links).toContainEqual(['README.md', 'AGENTS.md']);
  });

  it.each(links)('%s leads to %s', (file, target) => {
    const [relative = '', anchor] = target.split('#');
    const found = relative === '' ? file : path.posix.join(path.posix.dirname(file), relative);
    expect(existsSync(path.join(root, found)), `${found} is not there`).toBe(true);
    if (anchor !== undefined) expect(anchorsOf(read(found))).toContain(anchor);
  });
});
