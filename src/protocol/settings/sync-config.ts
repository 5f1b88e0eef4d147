import { z } from 'zod';
import { isRepositoryName, repositoryNamePattern } from '../names.js';
import { matchesAny } from '../patterns.js';
import { isInVersionRange, isVersionRange } from '../version-range.js';
import type { Problem } from './option-schema.js';
import { secondsSchema, strictOptions, type Immutable } from './option-schema.js';
import type { RepositoryConfig } from './repository-config.js';

const nameSchema = z
  .string()
  .refine(
    isRepositoryName,
    'must be one component of lower-case letters and digits, separated by ".", "_", "__" or "-"',
  )
  .meta({ pattern: repositoryNamePattern.source, maxLength: 128 });
const patternsSchema = z.array(z.string().min(1).max(255)).min(1, 'must have at least one pattern').max(1000);
const platformPattern = /^[a-z0-9._-]+\/[a-z0-9._-]+(?:\/[a-z0-9._-]+)?$/i;

/** The fields of a sync, for the documents that describe them. */
export const syncFieldsSchema = strictOptions({
  name: nameSchema.meta({ description: 'The name of the sync.' }),
  from: nameSchema.meta({ description: 'The remote repository whose upstream is copied.' }),
  to: nameSchema.meta({ description: 'The local repository that receives the images, under the same names.' }),
  images: patternsSchema.meta({
    description:
      "Which images to copy: names, or patterns such as `['team/**']`. A pattern with `*` needs an upstream that lists its images; many do not.",
  }),
  tags: patternsSchema.optional().meta({ description: "Which tags to copy: patterns such as `['v*']`.", unset: 'all' }),
  semver: z
    .string()
    .max(255)
    .refine(isVersionRange, 'must be a range of versions, such as ">=1.2 <3" or "^1.4"')
    .optional()
    .meta({
      description:
        "Instead of `tags`: a range of versions, as npm writes them: `'>=1.2 <3'`. A tag matches if it is a whole version, such as `1.2.3` or `v1.2.3`.",
      unset: 'all tags',
    }),
  platforms: z
    .array(z.string().max(100).regex(platformPattern, 'must be os/architecture, such as linux/amd64'))
    .min(1, 'must have at least one platform')
    .max(100)
    .optional()
    .meta({
      description:
        "Which platforms of an index to copy: `['linux/amd64', 'linux/arm/v7']`. `linux/arm` includes all its variants. The index keeps its digest, and still names the other platforms. Needs `sparse` at `to`.",
      unset: 'all',
    }),
  referrers: z
    .boolean()
    .default(false)
    .meta({ description: 'Whether to copy signatures, attestations and SBOMs of the copied manifests.' }),
  everySeconds: secondsSchema
    .default(86_400)
    .refine((seconds) => seconds === 0 || seconds >= 60, 'must be 0, or at least 60')
    .meta({ description: 'How often to run. `0`: only on request.' }),
  delete: z.boolean().default(false).meta({
    description:
      'Whether to delete tags in `to` that match `images` and `tags` and that the upstream reports as absent. If the upstream fails, nothing is deleted.',
  }),
}).meta({ title: 'SyncOptions', description: 'Copies images from another registry on a schedule.' });

/** Checks the settings of a sync, for code, configuration file and management API. */
export const syncConfigSchema = syncFieldsSchema.refine(
  ({ tags, semver }) => tags === undefined || semver === undefined,
  { path: ['semver'], message: 'must not be set together with tags' },
);

/** The settings of a sync. */
export type SyncConfig = Immutable<z.output<typeof syncFieldsSchema>>;

/** Checks the repositories of a sync. @param find returns the repository with a name. */
export function checkSync(
  { from, to, platforms }: SyncConfig,
  find: (name: string) => RepositoryConfig | undefined,
): Problem[] {
  const [source, target] = [find(from), find(to)];
  const problems: Problem[] = [];
  const report = (path: string, problem: string): void => void problems.push({ path, problem });
  if (source === undefined) report('from', `unknown repository "${from}"`);
  else if (source.type !== 'remote') report('from', `"${from}" is not a remote repository`);
  if (target === undefined) report('to', `unknown repository "${to}"`);
  else if (target.type !== 'local') report('to', `"${to}" is not a local repository`);
  else if (platforms !== undefined && target.sparse === false) {
    report('platforms', `need sparse: 'indexes' at "${to}", because an index also names the other platforms`);
  }
  return problems;
}

/** Returns whether a sync copies a tag. */
export function isTagSelected({ tags, semver }: Pick<SyncConfig, 'tags' | 'semver'>, tag: string): boolean {
  if (semver !== undefined) return isInVersionRange(tag, semver);
  return tags === undefined || matchesAny(tags, tag);
}
