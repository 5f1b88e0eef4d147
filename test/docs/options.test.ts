import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod/mini';
import { serverSchema } from '../../src/command/config-file.js';
import { buildProgram } from '../../src/command/commands.js';
import { resolveServeSettings } from '../../src/command/serve/serve-settings.js';
import { bytesPerUnit, secondsPerUnit } from '../../src/command/units.js';
import { serverReloading } from '../../src/command/serve/reloader.js';
import { optionReloading } from '../../src/options/live-options.js';
import { optionsSchema } from '../../src/options/options-schema.js';
import { strictOptions } from '../../src/protocol/settings/option-schema.js';
import { loadWriter, type OptionSources } from '../support/openapi.js';
import { placeOf, snippetsWith } from '../support/docs/snippets.js';

const root = path.join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const filesIn = (folder: string): string[] =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
    path.posix.join(folder, file),
  );

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

const { renderConfigSchema, renderConfiguration, renderInterfaces } = await loadWriter();
const serveFlags = buildProgram().commands.find((command) => command.name() === 'serve')?.options ?? [];
const sources: OptionSources = { optionsSchema, serverSchema, serveFlags, secondsPerUnit, bytesPerUnit };
const page = read('docs/configuration.md');

describe('what `npm run docs` writes from the schemas of the options', () => {
  const interfaces = Object.entries(renderInterfaces(optionsSchema));

  it.each<[string, string]>([
    ['docs/configuration.md', renderConfiguration(page, sources)],
    ['docs/config.schema.json', renderConfigSchema(sources)],
    ...interfaces.map(([file, text]): [string, string] => [`src/options/generated/${file}`, text]),
  ])('%s is up to date', (file, text) => {
    expect(read(file)).toBe(text);
  });

  it('has an option that is added to a schema, in all three forms', () => {
    const option = z._default(z.number(), 7).register(z.globalRegistry, { description: 'Something else.' });
    const added = { ...sources, optionsSchema: strictOptions({ ...optionsSchema.shape, maxOtherBytes: option }) };
    expect(renderConfiguration(page, added)).toContain('| `maxOtherBytes` | `7` | Something else |');
    expect(JSON.parse(renderConfigSchema(added))).toHaveProperty('properties.maxOtherBytes.default', 7);
    const titled = added.optionsSchema.register(z.globalRegistry, { title: 'RegistryOptions' });
    const text = renderInterfaces(titled)['registry-options.ts'];
    expect(text).toContain('   * Something else.\n   * @default 7\n   */\n  readonly maxOtherBytes?: number;');
  });

  it('refuses a page that lacks a table', () => {
    expect(() => renderConfiguration(page.replace('<!-- table: limits -->', ''), sources)).toThrow('limits');
  });

  it('describes every option and every flag', () => {
    const tables = page.matchAll(/^<!-- table: .*?^<!-- end -->$/gms);
    const rows = [...tables].flatMap(([table]) => table.split('\n').filter((line) => line.startsWith('| `')));
    expect(rows.length).toBeGreaterThan(80);
    expect(rows.filter((row) => (row.split(' | ')[2] ?? '').length < 5)).toEqual([]);
  });
});

/** Returns the paths of all properties of a JSON Schema: `limits.maxBlobBytes`, `sync[].name`. */
function pathsOf(schema: JsonSchema, prefix = ''): readonly string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => [
    `${prefix}${name}`,
    ...pathsOf(inner, `${prefix}${name}.`),
  ]);
  const items = schema.items === undefined ? [] : pathsOf(schema.items, prefix.replace(/\.$/, '[].'));
  return [...own, ...items, ...(schema.anyOf ?? []).flatMap((each) => pathsOf(each, prefix))];
}

describe('docs/configuration.md', () => {
  it('has a row for every path of docs/config.schema.json', () => {
    const paths = pathsOf(JSON.parse(read('docs/config.schema.json')) as JsonSchema);
    expect(paths).toEqual(
      expect.arrayContaining(['backups.folder', 'quotas[].names', 'retention.policies[].keep[].tags']),
    );
    // A section of the file, which has a table of its own, a JWK Set, which RFC 7517 describes, and keys that the row of the option names.
    const elsewhere = /^(?:server|access\.tokenServer\.keys\.keys|storage\.blobs\.s3\.credentials\..*)$/;
    const described = paths.filter((each) => !elsewhere.test(each));
    expect(described.filter((each) => !page.includes(`\n| \`${each}\` |`))).toEqual([]);
  });
});

describe('docs/operations.md', () => {
  it('names every option that needs a restart', () => {
    const [, text = ''] =
      /^These options need a restart\.([^]*?)\n`acceptEmptyIndex` is accepted/m.exec(read('docs/operations.md')) ?? [];
    const named = [...text.matchAll(/`([^`]+)`/g)].map(([, option = '']) => option);
    const needed = Object.entries({ ...optionReloading, ...serverReloading }).filter(([, how]) => how === 'restart');
    expect(named.toSorted()).toEqual(needed.map(([option]) => option).toSorted());
  });
});

describe('configuration files in examples and documentation', () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  const validate = ajv.compile(JSON.parse(read('docs/config.schema.json')) as object);
  const check = (value: unknown): unknown => (validate(value) ? [] : validate.errors);

  const others = new Set(['compose.yaml', 'kubernetes.yaml', 'traefik.yml', 'dynamic.yml']);
  const files = filesIn('examples').filter((file) => /\.ya?ml$/.test(file) && !others.has(path.basename(file)));
  const inMarkdown = snippetsWith('config').map((snippet) => [placeOf(snippet), snippet.text] as const);
  const inKubernetes = parseAllDocuments(read('examples/container/kubernetes.yaml'))
    .map((document) => document.toJS() as { kind: string; data?: Record<string, string> })
    .flatMap(({ kind, data }) => (kind === 'ConfigMap' ? [data?.['config.yaml'] ?? ''] : []));
  const inFiles = [
    ...files.map((file) => [file, read(file)] as const),
    ...inKubernetes.map((text) => ['examples/container/kubernetes.yaml', text] as const),
  ];

  it('are found', () => {
    expect(files.map((file) => file.split('/')[1])).toEqual(
      expect.arrayContaining(['air-gapped', 'container', 'mirror', 'nginx-sidecar', 'scale-out', 'virtual']),
    );
    expect(inMarkdown.map(([place]) => place.split(':')[0])).toContain('docs/configuration.md');
    expect(inKubernetes).toHaveLength(1);
  });

  it.each(files)('%s names the schema to editors', (file) => {
    const [, schema = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(read(file)) ?? [];
    expect(path.join(path.dirname(file), schema)).toBe('docs/config.schema.json');
  });

  it.each([...inFiles, ...inMarkdown])('%s is valid by docs/config.schema.json', (_file, text) => {
    expect(check(parse(text))).toEqual([]);
  });

  it.each(inFiles)('%s is accepted by artifactapi serve', (_file, text) => {
    expect(() => resolveServeSettings({}, { path: '/etc/registry.yaml', text }, {})).not.toThrow();
  });

  it.each([
    [
      'every kind of quantity',
      'limits: { maxBlobBytes: 10GB }\ngarbageCollection: { graceSeconds: 1.5h, intervalSeconds: 60 }',
    ],
    ['variables', 'prefix: ${PREFIX}\nreserveBytes: ${RESERVE:-1}\nserver: { port: "${PORT}", logLevel: "${LEVEL}" }'],
    ['an access mode', 'access: open'],
  ])('the schema accepts %s', (_what, text) => {
    expect(check(parse(text))).toEqual([]);
  });

  it.each([
    ['a misspelled option', 'acces: open'],
    ['a misspelled option of a repository', 'repositories: [{ name: a, type: local, sprase: true }]'],
    ['a repository without a type', 'repositories: [{ name: a }]'],
    ['a unit that does not exist', 'limits: { maxBlobBytes: 10Gb }'],
    ['a duration in bytes', 'garbageCollection: { graceSeconds: 1GB }'],
    ['what only code can give', 'logger: {}'],
  ])('the schema refuses %s', (_what, text) => {
    expect(check(parse(text))).not.toEqual([]);
  });
});
