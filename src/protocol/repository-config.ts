import { z } from 'zod';
import { isRepositoryName } from './names.js';

/** A configured repository, in code and config file. The wire's form is made from it by protocol/management.ts. */
export type RepositoryConfig = LocalRepositoryConfig;

export interface LocalRepositoryConfig {
  /** One path component: `docker-internal`. */
  readonly name: string;
  readonly type: 'local';
  /** Accept manifests that name blobs or manifests which the image does not hold. */
  readonly sparse: boolean;
  /** Free text for people. */
  readonly description: string;
}

/** One thing wrong with a document, and where: `repositories[2].name`. */
export interface Problem {
  readonly path: string;
  readonly problem: string;
}

const nameSchema = z
  .string()
  .refine(isRepositoryName, 'must be one part of lower-case letters and digits, parted by one of . _ __ -');

const common = { name: nameSchema, description: z.string().max(1000).default('') };
const commonSchema = z.looseObject(common);
const localSchema = z.strictObject({ ...common, type: z.literal('local'), sparse: z.boolean().default(true) });

const schemas = { local: localSchema };

/** The one checker of repository settings, for code, config file and management API. */
export const repositoryConfigSchema: z.ZodType<RepositoryConfig> = z.unknown().transform((value, context) => {
  const type: unknown = isObject(value) && 'type' in value ? value.type : undefined;
  const schema = Object.hasOwn(schemas, String(type)) ? schemas[type as keyof typeof schemas] : undefined;
  const checked = (schema ?? commonSchema).safeParse(value);
  if (schema !== undefined && checked.success) return checked.data as RepositoryConfig;
  // Of a repository of no known type, what all types have is checked: every problem is told at once.
  if (schema === undefined && isObject(value)) {
    context.addIssue({ code: 'custom', path: ['type'], message: "must be 'local'" });
  }
  context.issues.push(...((checked.error?.issues ?? []) as z.core.$ZodRawIssue[]));
  return z.NEVER;
});

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Problems of a failed check with their paths, written as in code: `repositories[0].name`. */
export function describeProblems(error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.reduce<string>(
      (text, part) =>
        typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
      '',
    );
    if (issue.code !== 'unrecognized_keys') return [{ path, problem: issue.message }];
    return issue.keys.map((key) => ({ path: path === '' ? key : `${path}.${key}`, problem: 'is no option' }));
  });
}
