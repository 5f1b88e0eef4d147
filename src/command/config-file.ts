import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import type { Scalar, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { describeProblems, secondsSchema, strictOptions, type Problem } from '../protocol/settings/option-schema.js';
import { parseQuantity } from './units.js';

/** What a config file says, before anybody has looked whether these are options. */
export interface ConfigDocument {
  readonly settings: Readonly<Record<string, unknown>>;
  /** What is wrong with the file itself, or with the variables that it names. */
  readonly problems: readonly Problem[];
}

// Loaded with the first file that is read: a start without one is that much shorter.
const require = createRequire(import.meta.url);
const loadYaml = (): typeof Yaml => require('yaml') as typeof Yaml;

type Environment = Readonly<Record<string, string | undefined>>;

const variablePattern = /\$\$|\$\{([^}]*)\}|\$\{/g;
const variableNamePattern = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;
/** Mappings whose keys are not options. */
const freeFormPattern = /(?:^|\.)(?:hosts|namespaces|groups|claims)$/;
const bareValuePattern = /^(?:true|false|-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?)$/;

/**
 * Reads YAML, or JSON, which is YAML too. `${NAME}` in a value is filled in from the environment, `${NAME:-text}` stands
 * for the text when the variable is unset or empty, and `$$` for one `$`. A filled-in value that is not quoted in the file
 * is a number or a boolean when it looks like one, as if it stood there: `port: ${PORT}`. Sizes and durations accept units.
 */
export function parseConfigFile(text: string, environment: Environment): ConfigDocument {
  if (text.trim() === '') return { settings: {}, problems: [] };
  const document = loadYaml().parseDocument(text);
  const [error] = document.errors;
  // The first alone: where the form is broken, those that follow come of it.
  if (error !== undefined) return { settings: {}, problems: [describeSyntaxError(error)] };
  const problems: Problem[] = [];
  fillIn(document.contents, '', { environment, problems });
  const settings: unknown = document.toJS() ?? {};
  if (isRecord(settings)) return { settings, problems };
  return { settings: {}, problems: [{ path: '', problem: 'must be a mapping of options to values' }] };
}

function describeSyntaxError({ linePos, message }: YAMLParseError): Problem {
  return {
    path: linePos === undefined ? '' : `line ${linePos[0].line}, column ${linePos[0].col}`,
    // What follows the first line draws the place, which the path has named.
    problem: message.replace(/ at line [0-9]+, column [0-9]+:[\s\S]*$/, ''),
  };
}

interface Filling {
  readonly environment: Environment;
  readonly problems: Problem[];
}

/** Replaces the variables in the nodes themselves: after `toJS` nobody could tell a quoted value from a bare one. */
function fillIn(node: unknown, path: string, filling: Filling): void {
  const { isAlias, isMap, isScalar, isSeq } = loadYaml();
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      const inner = path === '' ? name : `${path}.${name}`;
      fillIn(value, inner, filling);
      if (isScalar(value) && !freeFormPattern.test(path)) convertUnit(value, name, inner, filling.problems);
    }
  } else if (isSeq(node)) {
    node.items.forEach((item, i) => fillIn(item, `${path}[${i}]`, filling));
  } else if (isScalar(node) && !isAlias(node)) {
    fillInScalar(node, path, filling);
  }
}

function fillInScalar(node: Scalar, path: string, { environment, problems }: Filling): void {
  const { value } = node;
  if (typeof value !== 'string' || !value.includes('$')) return;
  const filled = value.replace(variablePattern, (found: string, inner: string | undefined) => {
    if (found === '$$') return '$';
    const [, name, fallback] = variableNamePattern.exec(inner ?? '') ?? [];
    if (name === undefined) {
      problems.push({ path, problem: `${found} is no variable: write \${NAME}, \${NAME:-default}, or $$ for one $` });
      return '';
    }
    const set = environment[name];
    if (set !== undefined && (set !== '' || fallback === undefined)) return set;
    if (fallback === undefined) problems.push({ path, problem: `the environment variable ${name} is not set` });
    return fallback ?? '';
  });
  const isBare = node.type === 'PLAIN' && bareValuePattern.test(filled);
  node.value = isBare ? (JSON.parse(filled) as unknown) : filled;
}

/** `maxCacheBytes: 100GB` and `tagTtlSeconds: 5m` become the numbers that these options take. */
function convertUnit(node: Scalar, option: string, path: string, problems: Problem[]): void {
  if (typeof node.value !== 'string' || problems.some((problem) => problem.path === path)) return;
  const quantity = parseQuantity(option, node.value);
  if (quantity === undefined) return;
  if ('problem' in quantity) problems.push({ path, problem: quantity.problem });
  else node.value = quantity.value;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The `server` section of a configuration file: what `artifactapi serve` needs beside the options of the registry. */
export const serverSchema = strictOptions({
  host: z.string().min(1).optional().meta({ description: 'The address to listen on.', unset: '`127.0.0.1`' }),
  port: z
    .number()
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .meta({ description: 'The port. `0`: any free port.', unset: '`5000`' }),
  tls: strictOptions({
    cert: z.string().min(1).meta({ description: 'A file with the certificate chain in PEM.' }),
    key: z.string().min(1).meta({ description: 'A file with the private key of the certificate in PEM.' }),
  })
    .optional()
    .meta({ description: 'Serves https.', unset: 'plain http' }),
  logLevel: z
    .enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` })
    .optional()
    .meta({
      description:
        '`debug`, `info`, `warn`, `error` or `silent`. The log is JSON lines on stderr, one line per request at `info`.',
      unset: '`info`',
    }),
  stopSeconds: secondsSchema
    .max(3600)
    .default(30)
    .meta({ description: 'How long requests in flight may take after a SIGTERM.' }),
  idleTimeoutSeconds: secondsSchema
    .min(1)
    .max(86_400)
    .default(120)
    .meta({ description: 'How long a connection may be idle in the middle of a request.' }),
  maxConnections: z.number().int().min(1).optional().meta({
    description: 'Open connections in all. Further ones are closed.',
    unset: 'from the limit of open files, at most `10000`',
  }),
});

/** The `server` section: where and how `artifactapi serve` listens. */
export type ServerSection = z.infer<typeof serverSchema>;

/** What was read, as far as it could be, and what is wrong with it. */
export interface Checked<T> {
  readonly value: T;
  readonly problems: readonly Problem[];
}

/** Checks the `server` section and fills in its defaults; with problems, it is the defaults alone. */
export function checkServerSection(server: unknown): Checked<ServerSection> {
  const checked = z.object({ server: serverSchema.prefault({}) }).safeParse({ server: server ?? undefined });
  if (checked.success) return { value: checked.data.server, problems: [] };
  return { value: serverSchema.parse({}), problems: describeProblems(checked.error) };
}
