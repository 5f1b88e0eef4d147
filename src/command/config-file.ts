import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import type { Scalar, YAMLParseError } from 'yaml';
import { z } from '../protocol/zod.js';
import {
  describe,
  describeProblems,
  secondsSchema,
  strictOptions,
  type Problem,
} from '../protocol/settings/option-schema.js';
import { parseQuantity } from './units.js';

/** The content of a config file, before its options are checked. */
export interface ConfigDocument {
  readonly settings: Readonly<Record<string, unknown>>;
  /** Problems of the file itself and of the variables in it. */
  readonly problems: readonly Problem[];
}

// Loaded on demand, so a start without a config file is faster.
const require = createRequire(import.meta.url);
const loadYaml = (): typeof Yaml => require('yaml') as typeof Yaml;

type Environment = Readonly<Record<string, string | undefined>>;

const variablePattern = /\$\$|\$\{([^}]*)\}|\$\{/g;
const variableNamePattern = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;
/** Mappings whose keys are not options. */
const freeFormPattern = /(?:^|\.)(?:hosts|namespaces|groups|claims)$/;
const plainValuePattern = /^(?:true|false|-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?)$/;

/**
 * Parses YAML, or JSON, which is YAML too. Replaces `${NAME}` in a value by the environment variable, `${NAME:-text}` by the
 * text if the variable is unset or empty, and `$$` by one `$`. As in plain YAML, a value that is not quoted in the file
 * becomes a number or a boolean if it has the form of one: `port: ${PORT}`. Sizes and durations accept units.
 */
export function parseConfigFile(text: string, environment: Environment): ConfigDocument {
  if (text.trim() === '') return { settings: {}, problems: [] };
  const document = loadYaml().parseDocument(text);
  const [error] = document.errors;
  // Only the first: later syntax errors are usually its consequences.
  if (error !== undefined) return { settings: {}, problems: [describeSyntaxError(error)] };
  const problems: Problem[] = [];
  substitute(document.contents, '', { environment, problems });
  const settings: unknown = document.toJS() ?? {};
  if (isRecord(settings)) return { settings, problems };
  return { settings: {}, problems: [{ path: '', problem: 'must be a mapping of options to values' }] };
}

function describeSyntaxError({ linePos, message }: YAMLParseError): Problem {
  return {
    path: linePos === undefined ? '' : `line ${linePos[0].line}, column ${linePos[0].col}`,
    // The lines after the first one show the position, which is in the path.
    problem: message.replace(/ at line [0-9]+, column [0-9]+:[\s\S]*$/, ''),
  };
}

interface Substitution {
  readonly environment: Environment;
  readonly problems: Problem[];
}

/** Replaces variables in the nodes, because after `toJS` quoted and plain values look alike. */
function substitute(node: unknown, path: string, context: Substitution): void {
  const { isAlias, isMap, isScalar, isSeq } = loadYaml();
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      const inner = path === '' ? name : `${path}.${name}`;
      substitute(value, inner, context);
      if (isScalar(value) && !freeFormPattern.test(path)) convertUnit(value, name, inner, context.problems);
    }
  } else if (isSeq(node)) {
    node.items.forEach((item, i) => substitute(item, `${path}[${i}]`, context));
  } else if (isScalar(node) && !isAlias(node)) {
    substituteScalar(node, path, context);
  }
}

function substituteScalar(node: Scalar, path: string, { environment, problems }: Substitution): void {
  const { value } = node;
  if (typeof value !== 'string' || !value.includes('$')) return;
  const filled = value.replace(variablePattern, (found: string, inner: string | undefined) => {
    if (found === '$$') return '$';
    const [, name, fallback] = variableNamePattern.exec(inner ?? '') ?? [];
    if (name === undefined) {
      problems.push({
        path,
        problem: `invalid variable "${found}": write \${NAME}, \${NAME:-default}, or $$ for a literal $`,
      });
      return '';
    }
    const set = environment[name];
    if (set !== undefined && (set !== '' || fallback === undefined)) return set;
    if (fallback === undefined) problems.push({ path, problem: `environment variable "${name}" is not set` });
    return fallback ?? '';
  });
  const isPlain = node.type === 'PLAIN' && plainValuePattern.test(filled);
  node.value = isPlain ? (JSON.parse(filled) as unknown) : filled;
}

/** Converts values with a unit, such as `maxCacheBytes: 100GB` and `tagTtlSeconds: 5m`, to numbers. */
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

/** The levels of `server.logLevel` and `--log-level`. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** One of `logLevels`. */
export type LogLevel = (typeof logLevels)[number];

/** The formats of `server.logFormat` and `--log-format`. */
export const logFormats = ['json', 'pretty'] as const;
/** One of `logFormats`. */
export type LogFormat = (typeof logFormats)[number];

/** `server.metrics`: a listener of its own for operators. */
const metricsSchema = z
  .optional(
    strictOptions({
      host: z.optional(z.string().check(z.minLength(1))).apply(describe, {
        description: 'The address to listen on, which must be private.',
        unset: '`127.0.0.1`',
      }),
      port: z.optional(z.number().check(z.int(), z.minimum(0), z.maximum(65_535))).apply(describe, {
        description: 'The port. `0` chooses a free port.',
        unset: 'required without `socket`',
      }),
      socket: z.optional(z.string().check(z.minLength(1))).apply(describe, {
        description: 'Path of a Unix socket to listen on instead of a port. Its permissions are `socketMode`.',
        unset: 'none',
      }),
    }).check(
      z.superRefine(({ host, port, socket }, context) => {
        const refuse = (name: string, message: string): void =>
          context.addIssue({ code: 'custom', path: [name], message });
        if (socket === undefined && port === undefined) refuse('port', 'is required, unless "socket" is set');
        if (socket !== undefined && port !== undefined) refuse('port', 'cannot be combined with "socket"');
        if (socket !== undefined && host !== undefined) refuse('host', 'cannot be combined with "socket"');
      }),
    ),
  )
  .apply(describe, {
    description:
      'A second address that serves `/metrics`, `/healthz` and `/readyz` without a login, in plain http, and nothing else.',
    unset: 'none',
  });

/** The schema of the `server` section of a config file: what `artifactapi serve` needs besides the options of the registry. */
export const serverSchema = strictOptions({
  host: z
    .optional(z.string().check(z.minLength(1)))
    .apply(describe, { description: 'The address to listen on.', unset: '`127.0.0.1`' }),
  port: z
    .optional(z.number().check(z.int(), z.minimum(0), z.maximum(65_535)))
    .apply(describe, { description: 'The port. `0` chooses a free port.', unset: '`5000`' }),
  socket: z.optional(z.string().check(z.minLength(1))).apply(describe, {
    description:
      'Path of a Unix socket to listen on, in plain http. With it, the server listens on a port only if `host` or `port` is set.',
    unset: 'none',
  }),
  socketMode: z
    ._default(z.string().check(z.regex(/^0?[0-7]{3}$/, 'must be three octal digits in quotes, such as "0660"')), '0660')
    .apply(describe, {
      description: "Permissions of the sockets. A client needs permission to write: `'0666'` lets everyone connect.",
    }),
  metrics: metricsSchema,
  tls: z
    .optional(
      strictOptions({
        cert: z
          .string()
          .check(z.minLength(1))
          .apply(describe, { description: 'Path of the certificate chain in PEM.' }),
        key: z.string().check(z.minLength(1)).apply(describe, { description: 'Path of the private key in PEM.' }),
      }),
    )
    .apply(describe, { description: 'The certificate to serve https with.', unset: 'plain http' }),
  logLevel: z.optional(z.enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` })).apply(describe, {
    description:
      '`debug`, `info`, `warn`, `error` or `silent`. The log goes to stderr, with one line per request at `info`.',
    unset: '`info`',
  }),
  logFormat: z.optional(z.enum(logFormats, { error: `must be one of ${logFormats.join(', ')}` })).apply(describe, {
    description: '`json`: one JSON object per line. `pretty`: lines for people.',
    unset: '`pretty` on a terminal, otherwise `json`',
  }),
  stopSeconds: z._default(secondsSchema.check(z.maximum(3600)), 30).apply(describe, {
    description: 'How long requests in flight may take after a SIGTERM before the server ends them.',
  }),
  idleTimeoutSeconds: z._default(secondsSchema.check(z.minimum(1), z.maximum(86_400)), 120).apply(describe, {
    description: 'How long a connection may be idle during a request before the server closes it.',
  }),
  maxConnections: z.optional(z.number().check(z.int(), z.minimum(1))).apply(describe, {
    description: 'Maximum number of open connections. The server closes further ones.',
    unset: 'from the limit of open files, at most `10000`',
  }),
  ui: z._default(z.boolean(), true).apply(describe, {
    description: 'Whether to serve the web UI at `/ui/`, and to send browsers there from `/`.',
  }),
});

/** The `server` section of a config file. */
export type ServerSection = z.infer<typeof serverSchema>;

/** A value and its problems. With problems, the value may be incomplete. */
export interface Checked<T> {
  readonly value: T;
  readonly problems: readonly Problem[];
}

/** Checks the `server` section and adds defaults. Returns only the defaults if there are problems. */
export function checkServerSection(server: unknown): Checked<ServerSection> {
  const checked = z.object({ server: z.prefault(serverSchema, {}) }).safeParse({ server: server ?? undefined });
  if (checked.success) return { value: checked.data.server, problems: [] };
  return { value: serverSchema.parse({}), problems: describeProblems(checked.error) };
}
