import { z } from '../zod.js';

/*
 * The schemas of options are the only place where an option is declared. `describe` adds what a schema cannot say. `npm run docs`
 * writes the interfaces in src/options/generated/, docs/configuration.md, docs/config.schema.json and the schemas of
 * docs/openapi.json from them.
 */

/** A problem in a document and its path: `repositories[2].name`. */
export interface Problem {
  readonly path: string;
  readonly problem: string;
}

/** A type without mutable properties and lists at any depth. */
export type Immutable<T> = T extends (...parameters: never[]) => unknown
  ? T
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T;

/** A duration of at most 30 years. */
export const secondsSchema = z.number('must be a number of seconds').check(z.minimum(0), z.maximum(1e9));

/** A size in bytes. */
export const bytesSchema = z.number('must be a number of bytes').check(z.int(), z.minimum(0));

/** What the documents say about a schema. */
interface Notes {
  readonly description?: string;
  /** The effect of leaving out an option without a default. */
  readonly unset?: string;
  /** The name of the TypeScript interface. */
  readonly title?: string;
  /** A type that JSON Schema cannot express. */
  readonly typescript?: string;
  /** Properties of which at least one is required. */
  readonly oneRequired?: readonly string[];
  readonly alternatives?: readonly z.ZodMiniType[];
  readonly pattern?: string;
  readonly maxLength?: number;
}

/** Returns a copy of a schema with notes, besides those that it has: `schema.apply(describe, notes)`. */
export function describe<S extends z.ZodMiniType>(schema: S, notes: Notes): S {
  const copy = z.clone(schema);
  z.globalRegistry.add(copy, { ...notes });
  return copy;
}

/** Creates an object schema that refuses unknown options and suggests the known one with the most similar name. */
export function strictOptions<S extends z.core.$ZodShape>(shape: S): z.ZodMiniObject<S, z.core.$strict> {
  const known = Object.keys(shape);
  // One line per key, which `describeProblems` splits into problems.
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => describeUnknown(key, known)).join('\n') : undefined,
  });
}

/**
 * Creates a schema that checks a value with the alternative that `choose` picks. Unlike a union, it reports all problems with
 * their paths.
 */
export function chosenSchema<S extends z.ZodMiniType>(
  alternatives: readonly S[],
  choose: (value: unknown) => z.ZodMiniType,
): z.ZodMiniType<z.output<S>, z.input<S>> {
  const schema = z.pipe(
    z.unknown(),
    z.transform((value, context) => {
      const checked = choose(value).safeParse(value);
      if (checked.success) return checked.data;
      // Issues may be handed on as they are; their types differ only in fields that zod fills in again.
      context.issues.push(...(checked.error.issues as z.core.$ZodRawIssue[]));
      return z.NEVER;
    }),
  );
  // The chosen schema decides the type; zod cannot express the choice.
  return schema.apply(describe, { alternatives }) as unknown as z.ZodMiniType<z.output<S>, z.input<S>>;
}

/** Returns the problems of a failed check with paths as written in code: `repositories[0].name`. */
export function describeProblems(error: z.core.$ZodError): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.reduce<string>(
      (text, part) => (typeof part === 'number' ? `${text}[${part}]` : joinPath(text, String(part))),
      '',
    );
    if (issue.code !== 'unrecognized_keys') return [{ path, problem: messageOf(issue) }];
    const lines = issue.message.split('\n');
    return issue.keys.map((key, i) => ({ path: joinPath(path, key), problem: lines[i] ?? '' }));
  });
}

/** Returns the message of a schema, or replaces zod's own message, which mentions inputs instead of options. */
function messageOf(issue: z.core.$ZodIssue): string {
  if (!/^(Invalid (input|option)|Too (small|big)): /.test(issue.message)) return issue.message;
  if (issue.code === 'invalid_type')
    return issue.message.endsWith('received undefined') ? 'is required' : `must be ${nameOfType(issue.expected)}`;
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  if (issue.code === 'too_small' && issue.origin === 'number') return `must be at least ${issue.minimum}`;
  if (issue.code === 'too_big' && issue.origin === 'number') return `must be at most ${issue.maximum}`;
  return issue.message;
}

function nameOfType(type: string): string {
  if (type === 'array') return 'a list';
  if (type === 'boolean') return 'true or false';
  return `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}

function joinPath(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

/** Names below this similarity are not suggested. */
const minSimilarity = 0.3;
/** Longer names are not compared. */
const maxComparedChars = 64;

/** Describes an unknown option and suggests the known one with the most similar name. */
export function describeUnknown(name: string, known: readonly string[]): string {
  const [similarity, closest] = known
    .map((option) => [similarityOf(name, option), option] as const)
    .reduce((best, each) => (each[0] > best[0] ? each : best), [0, '']);
  const hint = similarity < minSimilarity ? '' : `: did you mean "${closest}"?`;
  return `unknown option ${JSON.stringify(name)}${hint}`;
}

/**
 * Returns the share of letter pairs that a name and an option have in common (Sørensen–Dice). It ignores case, separators and
 * the unit of the option, which users often omit.
 */
function similarityOf(name: string, option: string): number {
  if (name.length > maxComparedChars) return 0;
  const pairs = pairsOf(name);
  const shares = [option, option.replace(/(?:Seconds|Bytes)$/, '')].map((text) => {
    const others = pairsOf(text);
    return (2 * [...pairs].filter((pair) => others.has(pair)).length) / Math.max(1, pairs.size + others.size);
  });
  return Math.max(...shares);
}

function pairsOf(name: string): ReadonlySet<string> {
  const letters = name.toLowerCase().replace(/[^a-z0-9]/g, '');
  return new Set(Array.from({ length: Math.max(0, letters.length - 1) }, (_, i) => letters.slice(i, i + 2)));
}
