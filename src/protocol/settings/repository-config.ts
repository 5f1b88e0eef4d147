/**
 * Settings that the options, the config file and the management API share, with their schemas. Every layer may import
 * it; it imports protocol/ only.
 */
import { z } from '../zod.js';
import { isRepositoryName, repositoryNamePattern } from '../names.js';
import { upstreamCredentialsSchema } from './upstream-credentials.js';
import { upstreamPresets, upstreamUrlOf, type UpstreamPreset } from './upstream-presets.js';
import { certificatesSchema } from './pem-keys.js';
import { describe, bytesSchema, chosenSchema, secondsSchema, strictOptions, type Immutable } from './option-schema.js';

const nameSchema = z
  .string()
  .check(
    z.refine(
      isRepositoryName,
      'must be one component of lower-case letters and digits, separated by ".", "_", "__" or "-"',
    ),
  )
  .apply(describe, { pattern: repositoryNamePattern.source, maxLength: 128 });
const patternSchema = z.string().check(z.minLength(1), z.maxLength(255));
const maxTrashSeconds = 10 * 366 * 24 * 3600;
const tagPatternSchema = z
  .string()
  .check(
    z.maxLength(255),
    z.regex(/^[a-zA-Z0-9_*][a-zA-Z0-9_.*-]*$/, 'must be a pattern of tags: letters, digits, "_", ".", "-" and "*"'),
  );
const common = {
  name: nameSchema.apply(describe, {
    description:
      'The first component of the names of its images: `docker-internal` in `host/docker-internal/team/app`.',
  }),
  description: z._default(z.string().check(z.maxLength(1000)), '').apply(describe, { description: 'Free text.' }),
};

const typeDescription = "`'local'`, `'remote'` or `'virtual'`.";

const localSchema = strictOptions({
  ...common,
  type: z.literal('local').apply(describe, { description: typeDescription }),
  sparse: z
    ._default(z.union([z.boolean(), z.literal('indexes')], { error: 'must be true, false or "indexes"' }), 'indexes')
    .apply(describe, {
      description:
        "Which missing content a pushed manifest may reference. `'indexes'`: the children of an index, but not the config and layers of an image. `true`: anything. `false`: nothing. Layers with `urls` may always be missing.",
    }),
  trashSeconds: z
    ._default(secondsSchema.check(z.maximum(maxTrashSeconds, 'must be at most ten years')), 604_800)
    .apply(describe, {
      description:
        'How long a deleted manifest can be restored, with its tags. Its content occupies disk space until then, or until the disk is full. `0`: no trash.',
    }),
  maxBytes: z.optional(bytesSchema).apply(describe, {
    description: 'The maximum size of all its images together. A push that exceeds it gets 403.',
    unset: 'no limit',
  }),
  immutableTags: z._default(z.array(tagPatternSchema), []).apply(describe, {
    description:
      "Patterns of tags that cannot be moved or deleted once they exist: `['v*']`. Pushing the same digest again succeeds; everything else gets 403.",
  }),
  mutableTags: z
    ._default(z.array(tagPatternSchema), [])
    .apply(describe, { description: "Exceptions from `immutableTags`: `['v*-rc*']`." }),
}).apply(describe, {
  title: 'LocalRepositoryOptions',
  description: 'A repository that the registry stores itself.',
});

// `Object.keys` returns strings.
const presetNames = Object.keys(upstreamPresets) as UpstreamPreset[];
const hostsSchema = z.array(z.string().check(z.minLength(1), z.maxLength(255))).check(z.maxLength(100));

const remoteSchema = strictOptions({
  ...common,
  type: z.literal('remote').apply(describe, { description: typeDescription }),
  url: z
    .optional(
      z
        .string()
        .check(z.refine(isUpstreamUrl, 'must be an http or https URL without credentials, query, fragment or /v2')),
    )
    .apply(describe, {
      description:
        "The upstream's URL: `https://registry.example.com`. A path in it is prepended to image names: `https://host/team`. Either `url` or `upstream` is required.",
      unset: 'that of `upstream`',
    }),
  upstream: z
    .optional(z.enum(presetNames, { error: `must be one of ${presetNames.join(', ')}: set url for another registry` }))
    .apply(describe, {
      description: `A well-known registry, instead of a \`url\`: ${presetNames.map((name) => `\`${name}\``).join(', ')}.`,
      unset: 'the registry at `url`',
    }),
  dockerHub: z.optional(z.boolean()).apply(describe, {
    description:
      'Whether the upstream has the official images of Docker Hub, so that `alpine` and `library/alpine` are one image. Set it for a mirror of Docker Hub.',
    unset: '`true` for the host names of Docker Hub',
  }),
  cache: z._default(z.boolean(), true).apply(describe, {
    description: 'Whether to cache pulled content. `false` passes every request through.',
  }),
  credentials: upstreamCredentialsSchema,
  tagTtlSeconds: z._default(secondsSchema, 300).apply(describe, {
    description: 'How long a tag is served without revalidation. `0`: every request revalidates it.',
  }),
  tagTtlRules: z
    ._default(
      z.array(
        strictOptions({
          tags: patternSchema.apply(describe, { description: 'A pattern of tags: `*` matches any characters.' }),
          ttlSeconds: secondsSchema.apply(describe, {
            description: 'How long these tags are served without revalidation.',
          }),
        }),
      ),
      [],
    )
    .apply(describe, {
      description:
        "`tagTtlSeconds` by pattern: `[{ tags: '*-snapshot', ttlSeconds: 10 }]`. The first match applies. Without a match, every request revalidates tags of signatures, attestations and SBOMs: `*.sig`, `*.att`, `*.sbom` and `sha256-<hex>`.",
    }),
  negativeTtlSeconds: z._default(secondsSchema, 30).apply(describe, {
    description:
      'How long a "not found" response of the upstream is cached. Those for tags of signatures are not, unless `tagTtlRules` match.',
  }),
  whenAbsent: z._default(z.enum(['drop', 'keep'], { error: 'must be "drop" or "keep"' }), 'drop').apply(describe, {
    description:
      "The treatment of a cached tag that the upstream reports as absent. `'drop'`: the tag is removed, and the 404 names the digest that is still cached. `'keep'`: it is served as stale.",
  }),
  listTtlSeconds: z._default(secondsSchema, 60).apply(describe, {
    description:
      'How long lists of tags are served without revalidation. Lists of referrers are revalidated by every request, unless `tagTtlRules` match `sha256-<hex>`.',
  }),
  maxCacheBytes: z.optional(bytesSchema).apply(describe, {
    description: 'The maximum size of the cache. It evicts the least recently used content.',
    unset: 'no limit',
  }),
  pins: z
    ._default(z.array(patternSchema), [])
    .apply(describe, { description: 'Content that is never evicted: patterns of `image` or `image:tag`.' }),
  redirects: z._default(z.enum(['follow', 'pass'], { error: 'must be "follow" or "pass"' }), 'follow').apply(describe, {
    description: "With `cache: false`: follow redirects to other hosts, or pass them to the client (`'pass'`).",
  }),
  connectTimeoutSeconds: z
    ._default(secondsSchema.check(z.minimum(0.05), z.maximum(600)), 5)
    .apply(describe, { description: 'Timeout for establishing a connection.' }),
  responseTimeoutSeconds: z._default(secondsSchema.check(z.minimum(0.05), z.maximum(3600)), 30).apply(describe, {
    description: 'Timeout for the response headers and for each further part of the body.',
  }),
  ca: certificatesSchema,
  proxy: z.optional(z.string().check(z.refine(isUpstreamUrl, 'must be an http or https URL'))).apply(describe, {
    description: 'The URL of an outgoing proxy.',
    unset: '`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide',
  }),
  allowPrivateTargets: z
    ._default(
      z.union([z.boolean(), hostsSchema], { error: 'must be true, false or a list of hosts, addresses or networks' }),
      false,
    )
    .apply(describe, {
      description:
        "Private, loopback and link-local addresses to which redirects and token realms may lead: `true` for all, or a list of hosts, addresses and networks: `['gitlab.corp.example', '10.0.0.0/8']`. The host of `url` may always be reached.",
    }),
  trustedRealms: z._default(hostsSchema, []).apply(describe, {
    description:
      "Hosts of token realms in other registrable domains than that of `url` that may receive the password: `['auth.example.net']`.",
  }),
}).apply(describe, {
  title: 'RemoteRepositoryOptions',
  oneRequired: ['url', 'upstream'],
  description: 'Another registry: a pull-through cache of it, or a pass-through to it.',
});

/** Completes the URL. */
const completeRemoteSchema = z.pipe(
  remoteSchema,
  z.transform((config, context) => {
    const url = upstreamUrlOf(config);
    if (typeof url === 'string') return { ...config, url };
    const isMissing = config.url === undefined && config.upstream === undefined;
    const message = isMissing
      ? 'is required, unless upstream names a registry'
      : 'must not be set together with upstream';
    context.issues.push({ code: 'custom', path: ['url'], message, input: config.url });
    return z.NEVER;
  }),
);

const memberSchema = z.union(
  [
    z.pipe(
      nameSchema,
      z.transform((name) => ({ name, include: [] as string[], exclude: [] as string[] })),
    ),
    strictOptions({
      name: nameSchema.apply(describe, { description: 'The name of the member.' }),
      include: z._default(z.array(patternSchema), []).apply(describe, {
        description: 'Patterns of the only images that it serves.',
        unset: 'all images',
      }),
      exclude: z
        ._default(z.array(patternSchema), [])
        .apply(describe, { description: 'Patterns of images that it does not serve.' }),
    }),
  ],
  { error: 'must be the name of a repository, or { name, include, exclude }' },
);

const virtualSchema = strictOptions({
  ...common,
  type: z.literal('virtual').apply(describe, { description: typeDescription }),
  members: z.array(memberSchema).check(z.minLength(1, 'must have at least one member')).apply(describe, {
    description:
      'Names of repositories, or `{ name, include, exclude }` with patterns of the images that a member serves and does not serve.',
  }),
  order: z
    ._default(z.enum(['local-first', 'as-listed'], { error: 'must be "local-first" or "as-listed"' }), 'local-first')
    .apply(describe, {
      description: "`'local-first'`: local members before remote ones. `'as-listed'`: in the order of `members`.",
    }),
  pushTo: z.optional(nameSchema).apply(describe, {
    description: 'The local member that receives pushes.',
    unset: 'none: pushes are refused',
  }),
  reserved: z._default(z.array(patternSchema), []).apply(describe, {
    description:
      'Patterns of images that are never requested from remote members, so that no one outside can take their names.',
  }),
}).apply(describe, {
  title: 'VirtualRepositoryOptions',
  description: 'Several repositories under one name.',
});

/** The settings of each type. */
export const repositorySchemas = { local: localSchema, remote: remoteSchema, virtual: virtualSchema };

/** Refuses a repository of an unknown type, after checking the settings that all types have. */
const unknownTypeSchema = z.looseObject({
  ...common,
  type: z.enum(Object.keys(repositorySchemas), { error: 'must be "local", "remote" or "virtual"' }),
});

const checkers = { ...repositorySchemas, remote: completeRemoteSchema };
type Checker = (typeof checkers)[keyof typeof checkers];

/** Checks the settings of a repository, for code, configuration file and management API. */
export const repositoryConfigSchema = chosenSchema<Checker>(
  // The documents describe what is written, which the completed schema hides.
  Object.values(repositorySchemas) as readonly z.ZodMiniType[] as readonly Checker[],
  (value) => {
    const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined;
    return Object.entries(checkers).find(([known]) => known === type)?.[1] ?? unknownTypeSchema;
  },
).apply(describe, { title: 'RepositoryOptions' });

/** The settings of a local repository. */
export type LocalRepositoryConfig = Immutable<z.output<typeof localSchema>>;
/** The settings of a remote repository. */
export type RemoteRepositoryConfig = Immutable<z.output<typeof completeRemoteSchema>>;
/** The settings of a virtual repository. */
export type VirtualRepositoryConfig = Immutable<z.output<typeof virtualSchema>>;
/** A configured repository. The form of the management API is derived from it by protocol/tables/management.ts. */
export type RepositoryConfig = LocalRepositoryConfig | RemoteRepositoryConfig | VirtualRepositoryConfig;
/** A member of a virtual repository. */
export type VirtualMember = VirtualRepositoryConfig['members'][number];
/** Which missing content a manifest may reference. */
export type Sparse = LocalRepositoryConfig['sparse'];
function isUpstreamUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash, pathname } = new URL(text);
  // The registry appends `/v2`. In the path, it would become part of every name.
  const isBare = username + password + search + hash === '' && !/^\/v2\/?$/.test(pathname);
  return (protocol === 'https:' || protocol === 'http:') && isBare;
}

/** Returns when a manifest that is deleted now leaves the trash; `undefined` without a trash. */
export function trashUntilOf(
  { trashSeconds }: Pick<LocalRepositoryConfig, 'trashSeconds'>,
  now: number,
): number | undefined {
  return trashSeconds === 0 ? undefined : now + trashSeconds * 1000;
}
