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

const localSchema = z.strictObject({
  name: nameSchema,
  type: z.literal('local'),
  sparse: z.boolean().default(true),
  description: z.string().max(1000).default(''),
});

/** The one checker of repository settings, for code, config file and management API. */
export const repositoryConfigSchema = z.discriminatedUnion('type', [localSchema], {
  error: "must be 'local'",
});

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
