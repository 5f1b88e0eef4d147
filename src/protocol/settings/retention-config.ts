import { z } from 'zod';
import { secondsSchema, strictOptions, type Immutable } from './option-schema.js';

const patternsSchema = z.array(z.string().min(1).max(255)).min(1, 'must name at least one pattern').max(100);
const forEver = 10 * 366 * 24 * 3600;

const keepSchema = strictOptions({
  tags: patternsSchema.meta({ description: 'Patterns of tags: `*` matches any characters.' }),
  newest: z
    .number()
    .int()
    .min(1)
    .optional()
    .meta({ description: 'Only this many of the matching tags: those that were pushed last.', unset: 'all' }),
  usedWithinSeconds: secondsSchema
    .max(forEver)
    .optional()
    .meta({ description: 'Only tags that were pushed or pulled within this time.', unset: 'all' }),
}).meta({ title: 'RetentionKeepOptions', description: 'Tags that stay.' });

const policySchema = strictOptions({
  names: patternsSchema.meta({
    description: 'Patterns of `repository/image`. The first policy that matches an image applies.',
  }),
  keep: z.array(keepSchema).min(1, 'must have at least one line: omit it to keep all tags').max(100).optional().meta({
    description: 'A tag is kept if any of these settings keeps it. All other tags are deleted.',
    unset: 'all tags stay',
  }),
  untagged: strictOptions({
    keepSeconds: secondsSchema.max(forEver).meta({
      description: 'How long a manifest stays after it was pushed, pulled or lost its last tag.',
    }),
  })
    .meta({ title: 'RetentionUntaggedOptions' })
    .optional()
    .meta({
      description:
        'Deletes manifests that no tag or index names and that are not referrers of a manifest that is kept.',
      unset: 'they stay',
    }),
  maxShare: z.number().min(0).max(1).default(0.5).meta({
    description: 'A run that would delete a larger share of the tags of an image waits for a confirmation.',
  }),
}).meta({ title: 'RetentionPolicyOptions', description: 'What to keep in the images that match.' });

/** Checks the retention policies, for code and configuration file. */
export const retentionSchema = strictOptions({
  everySeconds: secondsSchema.min(60, 'must be at least 60 seconds').default(86_400).meta({
    description: 'How often the policies are carried out. The first run of changed policies waits for a confirmation.',
  }),
  policies: z
    .array(policySchema)
    .min(1, 'must have at least one policy')
    .max(1000)
    .meta({ description: 'The policies, in order.' }),
}).meta({
  title: 'RetentionOptions',
  description: 'Deletes tags and untagged manifests of local repositories by policies.',
});

/** The retention policies with their defaults. */
export type RetentionSettings = Immutable<z.output<typeof retentionSchema>>;
/** One policy. */
export type RetentionPolicy = RetentionSettings['policies'][number];
