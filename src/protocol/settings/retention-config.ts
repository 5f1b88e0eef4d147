import { z } from '../zod.js';
import { describe, secondsSchema, strictOptions, type Immutable } from './option-schema.js';

const patternsSchema = z
  .array(z.string().check(z.minLength(1), z.maxLength(255)))
  .check(z.minLength(1, 'must name at least one pattern'), z.maxLength(100));
const forEver = 10 * 366 * 24 * 3600;

const keepSchema = strictOptions({
  tags: patternsSchema.apply(describe, { description: 'Patterns of tags: `*` matches any characters.' }),
  newest: z.optional(z.number().check(z.int(), z.minimum(1))).apply(describe, {
    description: 'Only this many of the matching tags: those that were pushed last.',
    unset: 'all',
  }),
  usedWithinSeconds: z.optional(secondsSchema.check(z.maximum(forEver))).apply(describe, {
    description: 'Only tags that were pushed or pulled within this time.',
    unset: 'all',
  }),
}).apply(describe, { title: 'RetentionKeepOptions', description: 'Tags that stay.' });

const policySchema = strictOptions({
  names: patternsSchema.apply(describe, {
    description: 'Patterns of `repository/image`. The first policy that matches an image applies.',
  }),
  keep: z
    .optional(
      z
        .array(keepSchema)
        .check(z.minLength(1, 'must have at least one line: omit it to keep all tags'), z.maxLength(100)),
    )
    .apply(describe, {
      description: 'A tag is kept if any of these settings keeps it. All other tags are deleted.',
      unset: 'all tags stay',
    }),
  untagged: z
    .optional(
      strictOptions({
        keepSeconds: secondsSchema.check(z.maximum(forEver)).apply(describe, {
          description: 'How long a manifest stays after it was pushed, pulled or lost its last tag.',
        }),
      }).apply(describe, { title: 'RetentionUntaggedOptions' }),
    )
    .apply(describe, {
      description:
        'Deletes manifests that no tag or index names and that are not referrers of a manifest that is kept.',
      unset: 'they stay',
    }),
  maxShare: z._default(z.number().check(z.minimum(0), z.maximum(1)), 0.5).apply(describe, {
    description: 'A run that would delete a larger share of the tags of an image waits for a confirmation.',
  }),
}).apply(describe, {
  title: 'RetentionPolicyOptions',
  description: 'What to keep in the images that match.',
});

/** Checks the retention policies, for code and configuration file. */
export const retentionSchema = strictOptions({
  everySeconds: z._default(secondsSchema.check(z.minimum(60, 'must be at least 60 seconds')), 86_400).apply(describe, {
    description: 'How often the policies are carried out. The first run of changed policies waits for a confirmation.',
  }),
  policies: z
    .array(policySchema)
    .check(z.minLength(1, 'must have at least one policy'), z.maxLength(1000))
    .apply(describe, { description: 'The policies, in order.' }),
}).apply(describe, {
  title: 'RetentionOptions',
  description: 'Deletes tags and untagged manifests of local repositories by policies.',
});

/** The retention policies with their defaults. */
export type RetentionSettings = Immutable<z.output<typeof retentionSchema>>;
/** One policy. */
export type RetentionPolicy = RetentionSettings['policies'][number];
