import { z } from '../zod.js';
import { isRepositoryName, repositoryNamePattern } from '../names.js';
import { matchesAny } from '../patterns.js';
import { isInVersionRange, isVersionRange } from '../version-range.js';
import type { Problem } from './option-schema.js';
import { describe, secondsSchema, strictOptions, type Immutable } from './option-schema.js';
import type { RepositoryConfig } from './repository-config.js';

const nameSchema = z
  .string()
  .check(
    z.refine(
      isRepositoryName,
      'must be one component of lower-case letters and digits, separated by ".", "_", "__" or "-"',
    ),
  )
  .apply(describe, { pattern: repositoryNamePattern.source, maxLength: 128 });
const patternsSchema = z
  .array(z.string().check(z.minLength(1), z.maxLength(255)))
  .check(z.minLength(1, 'must have at least one pattern'), z.maxLength(1000));
const platformPattern = /^[a-z0-9._-]+\/[a-z0-9._-]+(?:\/[a-z0-9._-]+)?$/i;

/** The fields of a sync, for the documents that describe them. */
export const syncFieldsSchema = strictOptions({
  name: nameSchema.apply(describe, { description: 'The name of the sync.' }),
  from: nameSchema.apply(describe, { description: 'The remote repository whose upstream is copied.' }),
  to: nameSchema.apply(describe, {
    description: 'The local repository that receives the images, under the same names.',
  }),
  images: patternsSchema.apply(describe, {
    description:
      "Which images to copy: names, or patterns such as `['team/**']`. A pattern with `*` needs an upstream that lists its images; many do not.",
  }),
  tags: z
    .optional(patternsSchema)
    .apply(describe, { description: "Which tags to copy: patterns such as `['v*']`.", unset: 'all' }),
  semver: z
    .optional(
      z
        .string()
        .check(z.maxLength(255), z.refine(isVersionRange, 'must be a range of versions, such as ">=1.2 <3" or "^1.4"')),
    )
    .apply(describe, {
      description:
        "Instead of `tags`: a range of versions, as npm writes them: `'>=1.2 <3'`. A tag matches if it is a whole version, such as `1.2.3` or `v1.2.3`.",
      unset: 'all tags',
    }),
  platforms: z
    .optional(
      z
        .array(
          z.string().check(z.maxLength(100), z.regex(platformPattern, 'must be os/architecture, such as linux/amd64')),
        )
        .check(z.minLength(1, 'must have at least one platform'), z.maxLength(100)),
    )
    .apply(describe, {
      description:
        "Which platforms of an index to copy: `['linux/amd64', 'linux/arm/v7']`. `linux/arm` includes all its variants. The index keeps its digest, and still names the other platforms. Needs `sparse` at `to`.",
      unset: 'all',
    }),
  referrers: z._default(z.boolean(), false).apply(describe, {
    description: 'Whether to copy signatures, attestations and SBOMs of the copied manifests.',
  }),
  everySeconds: z
    ._default(secondsSchema, 86_400)
    .check(z.refine((seconds) => seconds === 0 || seconds >= 60, 'must be 0, or at least 60'))
    .apply(describe, { description: 'How often to run. `0`: only on request.' }),
  delete: z._default(z.boolean(), false).apply(describe, {
    description:
      'Whether to delete tags in `to` that match `images` and `tags` and that the upstream reports as absent. If the upstream fails, nothing is deleted.',
  }),
}).apply(describe, {
  title: 'SyncOptions',
  description: 'Copies images from another registry on a schedule.',
});

/** Checks the settings of a sync, for code, configuration file and management API. */
export const syncConfigSchema = syncFieldsSchema.check(
  z.refine(({ tags, semver }) => tags === undefined || semver === undefined, {
    path: ['semver'],
    message: 'must not be set together with tags',
  }),
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
