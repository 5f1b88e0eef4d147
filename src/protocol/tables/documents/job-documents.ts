import { z } from '../../zod.js';
import type { JobDocument, PlannedItemDocument } from '../../documents/activity.js';
import { RegistryError } from '../../errors.js';
import { isRepositoryName } from '../../names.js';
import {
  bytesSchema,
  describeProblems,
  describeUnknown,
  secondsSchema,
  strictOptions,
  type Problem,
} from '../../settings/option-schema.js';
import { encodeDocument, problemsFound, toWireProblem } from './encoding.js';
import { mapKeys, toCamelCase } from '../spelling.js';

/** The grammar of job ids: the kind and a random part. */
export const jobIdPattern = /^[a-z][a-z0-9-]{0,63}$/;

/** Parses a job id. @throws RegistryError NOT_FOUND for an invalid id, which no job has. */
export function parseJobId(text: string): string {
  if (text.length <= 64 && jobIdPattern.test(text)) return text;
  throw jobNotFound(text);
}

/** Creates the error for an absent job. */
export function jobNotFound(id: string): RegistryError {
  return new RegistryError('NOT_FOUND', { message: 'job not found', detail: { job: id.slice(0, 200) } });
}

/** Returns a job as the API shows it. */
export function encodeJob(job: { readonly progress?: object | undefined }): JobDocument {
  const { progress, ...rest } = job;
  return encodeDocument({ ...rest, ...progress }) as JobDocument;
}

/**
 * Decodes the document that starts a job: `kind`, `dry_run`, and the parameters of the kind.
 * @throws RegistryError OPTIONS_INVALID with all problems and their paths.
 */
export function decodeJobRequest(document: unknown): {
  readonly kind: string;
  readonly dryRun: boolean;
  readonly params: Readonly<Record<string, unknown>>;
} {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  const { kind, dry_run: dryRun = false, ...rest } = document as Record<string, unknown>;
  const problems: Problem[] = Object.keys(rest)
    .filter((key) => /[A-Z]/.test(key))
    .map((key) => ({ path: key, problem: describeUnknown(key, ['kind', 'dry_run']) }));
  if (typeof dryRun !== 'boolean') problems.push({ path: 'dry_run', problem: 'must be true or false' });
  if (typeof kind !== 'string') problems.push({ path: 'kind', problem: 'must be a string' });
  if (typeof kind !== 'string' || typeof dryRun !== 'boolean' || problems.length > 0) throw problemsFound(problems);
  // `mapKeys` returns an object for an object.
  return { kind, dryRun, params: mapKeys(rest, toCamelCase) as Readonly<Record<string, unknown>> };
}

/**
 * Checks the parameters of a job by a schema, in camel case.
 * @throws RegistryError OPTIONS_INVALID with all problems, spelled as in the API.
 */
export function parseParams<Schema extends z.ZodMiniType>(schema: Schema, params: unknown): z.output<Schema> {
  const checked = schema.safeParse(params);
  if (checked.success) return checked.data;
  throw problemsFound(describeProblems(checked.error).map(toWireProblem));
}

/** The parameters of retention. */
export const retentionParamsSchema = strictOptions({
  names: z.optional(
    z.array(z.string().check(z.minLength(1), z.maxLength(255))).check(z.minLength(1), z.maxLength(100)),
  ),
});

/** The parameters of a garbage collection. */
export const garbageParamsSchema = strictOptions({ graceSeconds: z.optional(secondsSchema) });

/** Decodes the body of `garbage.collect`: `grace_seconds`. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeCollectBody(document: unknown): { readonly graceSeconds?: number | undefined } {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  refuseCamelCase(document, ['grace_seconds']);
  return parseParams(garbageParamsSchema, mapKeys(document, toCamelCase));
}

function refuseCamelCase(document: object, known: readonly string[]): void {
  const problems = Object.keys(document)
    .filter((key) => /[A-Z]/.test(key))
    .map((key): Problem => ({ path: key, problem: describeUnknown(key, known) }));
  if (problems.length > 0) throw problemsFound(problems);
}

/** The parameters of a backup: a path below `backups.folder`. */
export const backupParamsSchema = strictOptions({ folder: z._default(z.string().check(z.maxLength(1000)), '') });

/** Returns an item of a retention plan as the API shows it. */
export function encodePlannedItem({ isWaiting, ...item }: { readonly isWaiting: boolean }): PlannedItemDocument {
  return encodeDocument({ ...item, waiting: isWaiting }) as PlannedItemDocument;
}

/** The parameters of an import: a folder that `imports.folders` allows, and a local repository. */
export const importParamsSchema = strictOptions({
  folder: z.string('must be the path of a folder').check(
    z.minLength(1, 'must be the path of a folder'),
    z.maxLength(4096),
    z.refine((folder) => !folder.includes('\0'), 'must be the path of a folder'),
  ),
  repository: z
    .string('must be the name of a repository')
    .check(z.refine(isRepositoryName, 'must be the name of a repository')),
  copy: z._default(z.boolean('must be true or false'), false),
  verify: z._default(z.boolean('must be true or false'), false),
});

/** The parameters of a scrub: all repositories or one, and the rate at which blobs are read. */
export const scrubParamsSchema = strictOptions({
  repository: z.optional(z.string().check(z.refine(isRepositoryName, 'must be the name of a repository'))),
  bytesPerSecond: z._default(bytesSchema.check(z.minimum(1)), 50_000_000),
});
