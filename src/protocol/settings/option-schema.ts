import { z } from 'zod';

/*
 * The schemas of options are the only place where an option is declared. `.meta()` holds what a schema cannot say:
 * `description`; `unset`, the effect of leaving out an option without a default; `title`, the name of the TypeScript
 * interface; `typescript`, a type that JSON Schema cannot express. `npm run docs` writes the interfaces in
 * src/options/generated/, docs/configuration.md, docs/config.schema.json and the schemas of docs/openapi.json from them.
 */

/** One thing wrong with a document, and where: `repositories[2].name`. */
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
export const secondsSchema = z.number('must be a number of seconds').min(0).max(1e9);

export const bytesSchema = z.number('must be a number of bytes').int().min(0);

/** An object that refuses unknown options, each with the known one that its name resembles most. */
export function strictOptions<S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> {
  const known = Object.keys(shape);
  // One line for each key: `describeProblems` makes a problem of each.
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => describeUnknown(key, known)).join('\n') : undefined,
  });
}

/**
 * Checks a value by the one of several schemas that `choose` picks for it. Unlike those of a union, all problems keep their
 * paths.
 */
export function chosenSchema<S extends z.ZodType>(
  alternatives: readonly S[],
  choose: (value: unknown) => z.ZodType,
): z.ZodType<z.output<S>, z.input<S>> {
  const schema = z.unknown().transform((value, context) => {
    const checked = choose(value).safeParse(value);
    if (checked.success) return checked.data;
    context.issues.push(...(checked.error.issues as z.core.$ZodRawIssue[]));
    return z.NEVER;
  });
  return schema.meta({ alternatives }) as unknown as z.ZodType<z.output<S>, z.input<S>>;
}

/** Returns the problems of a failed check with their paths as written in code: `repositories[0].name`. */
export function describeProblems(error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.reduce<string>(
      (text, part) => (typeof part === 'number' ? `${text}[${part}]` : joinPath(text, String(part))),
      '',
    );
    if (issue.code !== 'unrecognized_keys') return [{ path, problem: issue.message }];
    const lines = issue.message.split('\n');
    return issue.keys.map((key, i) => ({ path: joinPath(path, key), problem: lines[i] ?? '' }));
  });
}

function joinPath(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

/** Below this share of common pairs of letters, names have little to do with each other. */
const minLikeness = 0.3;
/** Longer names are not compared. */
const maxComparedChars = 64;

/** Describes an unknown option, with the known one that resembles it most. */
export function describeUnknown(name: string, known: readonly string[]): string {
  const [likeness, closest] = known
    .map((option) => [likenessOf(name, option), option] as const)
    .reduce((best, each) => (each[0] > best[0] ? each : best), [0, '']);
  const hint = likeness < minLikeness ? '' : `: did you mean "${closest}"?`;
  return `unknown option ${JSON.stringify(name)}${hint}`;
}

/**
 * The share of pairs of letters that a name and an option have in common (Sørensen–Dice), regardless of case, of separators
 * and of the unit, which is easily forgotten.
 */
function likenessOf(name: string, option: string): number {
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
