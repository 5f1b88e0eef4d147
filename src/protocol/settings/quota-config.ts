import type { z } from '../zod.js';
import { patternsSchema } from './access-config.js';
import { describe, bytesSchema, strictOptions, type Immutable, type Problem } from './option-schema.js';

/** Checks a quota, for code, configuration file and management API. */
export const quotaSchema = strictOptions({
  names: patternsSchema.apply(describe, {
    description:
      "One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A repository's name alone matches all its images.",
  }),
  maxBytes: bytesSchema.apply(describe, {
    description: 'The maximum size of all images in local repositories that match.',
  }),
}).apply(describe, { title: 'QuotaOptions', description: 'Limits the total size of images.' });

/** A quota as it is configured. */
export type QuotaConfig = Immutable<z.output<typeof quotaSchema>>;

/** Returns the patterns of a quota in their stored form: complete, sorted, each once. */
export function canonicalNames(names: readonly string[]): readonly string[] {
  // The name of a repository means all of its images.
  return [...new Set(names.map((name) => (name.includes('/') || name === '**' ? name : `${name}/**`)))].toSorted();
}

/** Finds quotas for the same names as an earlier one. */
export function findRepeatedQuotas(quotas: readonly Pick<QuotaConfig, 'names'>[], path: string): Problem[] {
  const keys = quotas.map(({ names }) => canonicalNames(names).join(' '));
  return keys.flatMap((key, i) => {
    const first = keys.indexOf(key);
    return first === i ? [] : [{ path: `${path}[${i}].names`, problem: `already have the quota ${path}[${first}]` }];
  });
}
