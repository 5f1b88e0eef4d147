import { z } from 'zod';
import { isRepositoryName, repositoryNamePattern } from '../names.js';

/** A configured repository, in code and config file. The wire's form is made from it by protocol/management.ts. */
export type RepositoryConfig = LocalRepositoryConfig | RemoteRepositoryConfig | VirtualRepositoryConfig;

interface CommonConfig {
  /** One path component: `docker-internal`. */
  readonly name: string;
  /** Free text for people. */
  readonly description: string;
}

/** A repository that the registry stores itself. */
export interface LocalRepositoryConfig extends CommonConfig {
  readonly type: 'local';
  readonly sparse: Sparse;
}

/**
 * Which content a pushed manifest may name although it is missing. `'indexes'`: the children of an index, but not the config
 * and layers of an image manifest. `true`: anything. `false`: nothing.
 */
export type Sparse = boolean | 'indexes';

/** A name and a password, or a token that is sent as it is. */
export type UpstreamCredentials = { readonly username: string; readonly password: string } | { readonly token: string };

/** Another registry: a pull-through cache of it, or a way through to it. */
export interface RemoteRepositoryConfig extends CommonConfig {
  readonly type: 'remote';
  /** `https://registry-1.docker.io`; a path goes before the names of images: `https://host/team`. */
  readonly url: string;
  /** Keep what is pulled. `false`: pass every exchange through. */
  readonly cache: boolean;
  readonly credentials?: UpstreamCredentials | (() => Promise<UpstreamCredentials | undefined>) | undefined;
  /** How long a tag is served without asking the upstream. */
  readonly tagTtlSeconds: number;
  /** The same for tags that match a pattern; the first that matches counts. */
  readonly tagTtlRules: readonly { readonly tags: string; readonly ttlSeconds: number }[];
  /** How long it is remembered that something is absent. */
  readonly negativeTtlSeconds: number;
  /** How long lists of tags and referrers are served without asking. */
  readonly listTtlSeconds: number;
  /** The size that the cache is kept below. Absent: no limit. */
  readonly maxCacheBytes?: number | undefined;
  /** What is never evicted: patterns of `image` or `image:tag`. */
  readonly pins: readonly string[];
  /** Pass-through: follow redirects to other hosts, or hand them to the client. */
  readonly redirects: 'follow' | 'pass';
  readonly connectTimeoutSeconds: number;
  /** How long the head of an answer, and each next part of its body, may take. */
  readonly responseTimeoutSeconds: number;
  /** A private certificate authority, as PEM. */
  readonly ca?: string | undefined;
  /** The outgoing proxy. Absent: what `HTTPS_PROXY` and `NO_PROXY` say. */
  readonly proxy?: string | undefined;
  // Records of earlier releases lack these two.
  /** Private addresses that redirects and token realms may lead to, besides the host of `url`. */
  readonly allowPrivateTargets?: boolean | readonly string[] | undefined;
  /** Hosts of token realms that get the password although they are in another domain. */
  readonly trustedRealms?: readonly string[] | undefined;
}

/** A part of a virtual repository. */
export interface VirtualMember {
  readonly name: string;
  /** Patterns of the images that it is asked for. */
  readonly include: readonly string[];
  /** Patterns of the images that it is not asked for. */
  readonly exclude: readonly string[];
}

/** Several repositories under one name. */
export interface VirtualRepositoryConfig extends CommonConfig {
  readonly type: 'virtual';
  readonly members: readonly VirtualMember[];
  /** `local-first`: locals before remotes, otherwise as listed. */
  readonly order: 'local-first' | 'as-listed';
  /** The local member that takes pushes. Absent: nothing can be pushed. */
  readonly pushTo?: string | undefined;
  /** Patterns of images that no remote is ever asked for (dependency confusion). */
  readonly reserved: readonly string[];
}

/** One thing wrong with a document, and where: `repositories[2].name`. */
export interface Problem {
  readonly path: string;
  readonly problem: string;
}

const nameSchema = z
  .string()
  .refine(isRepositoryName, 'must be one part of lower-case letters and digits, parted by one of . _ __ -')
  .meta({ pattern: repositoryNamePattern.source, maxLength: 128 });
const patternSchema = z.string().min(1).max(255);
const seconds = (byDefault: number) => z.number().min(0).max(1e9).default(byDefault);
const common = { name: nameSchema, description: z.string().max(1000).default('') };
const commonSchema = z.looseObject(common);

const sparseSchema = z
  .union([z.boolean(), z.literal('indexes')], { error: "must be true, false or 'indexes'" })
  .default('indexes');
const localSchema = z.strictObject({ ...common, type: z.literal('local'), sparse: sparseSchema });

const credentialsSchema = z.union(
  [
    z.strictObject({ username: z.string().min(1), password: z.string() }),
    z.strictObject({ token: z.string().min(1) }),
    // In code alone: a document holds no functions.
    z.custom<() => Promise<UpstreamCredentials | undefined>>((value) => typeof value === 'function'),
  ],
  { error: 'must be { username, password } or { token }' },
);

const hostsSchema = z.array(z.string().min(1).max(255)).max(100);

const remoteSchema = z.strictObject({
  ...common,
  type: z.literal('remote'),
  url: z.string().refine(isUpstreamUrl, 'must be an http or https URL without credentials, query, fragment or /v2'),
  cache: z.boolean().default(true),
  credentials: credentialsSchema.optional(),
  tagTtlSeconds: seconds(300),
  tagTtlRules: z.array(z.strictObject({ tags: patternSchema, ttlSeconds: z.number().min(0).max(1e9) })).default([]),
  negativeTtlSeconds: seconds(30),
  listTtlSeconds: seconds(60),
  maxCacheBytes: z.number().int().min(0).optional(),
  pins: z.array(patternSchema).default([]),
  redirects: z.enum(['follow', 'pass'], { error: "must be 'follow' or 'pass'" }).default('follow'),
  connectTimeoutSeconds: z.number().min(0.05).max(600).default(5),
  responseTimeoutSeconds: z.number().min(0.05).max(3600).default(30),
  ca: z.string().optional(),
  proxy: z.string().refine(isUpstreamUrl, 'must be an http or https URL').optional(),
  allowPrivateTargets: z
    .union([z.boolean(), hostsSchema], { error: 'must be true, false or a list of hosts, addresses or networks' })
    .default(false),
  trustedRealms: hostsSchema.default([]),
});

const memberSchema = z.union(
  [
    nameSchema.transform((name): VirtualMember => ({ name, include: [], exclude: [] })),
    z.strictObject({
      name: nameSchema,
      include: z.array(patternSchema).default([]),
      exclude: z.array(patternSchema).default([]),
    }),
  ],
  { error: "must be a repository's name, or { name, include, exclude }" },
);

const virtualSchema = z.strictObject({
  ...common,
  type: z.literal('virtual'),
  members: z.array(memberSchema).min(1, 'must have at least one member'),
  order: z.enum(['local-first', 'as-listed'], { error: "must be 'local-first' or 'as-listed'" }).default('local-first'),
  pushTo: nameSchema.optional(),
  reserved: z.array(patternSchema).default([]),
});

/** The settings of each type. */
export const repositorySchemas = { local: localSchema, remote: remoteSchema, virtual: virtualSchema };

/** The one checker of repository settings, for code, config file and management API. */
export const repositoryConfigSchema: z.ZodType<RepositoryConfig> = z.unknown().transform((value, context) => {
  const type: unknown = isObject(value) && 'type' in value ? value.type : undefined;
  const isKnown = typeof type === 'string' && Object.hasOwn(repositorySchemas, type);
  const schema = isKnown ? repositorySchemas[type as keyof typeof repositorySchemas] : undefined;
  const checked = (schema ?? commonSchema).safeParse(value);
  if (schema !== undefined && checked.success) return checked.data as RepositoryConfig;
  // Of a repository of no known type, what all types have is checked: every problem is told at once.
  if (schema === undefined && isObject(value)) {
    context.addIssue({ code: 'custom', path: ['type'], message: "must be 'local', 'remote' or 'virtual'" });
  }
  context.issues.push(...((checked.error?.issues ?? []) as z.core.$ZodRawIssue[]));
  return z.NEVER;
});

function isUpstreamUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash, pathname } = new URL(text);
  // `/v2` is ours to add: in a path it would become a part of every name.
  const isBare = username + password + search + hash === '' && !/^\/v2\/?$/.test(pathname);
  return (protocol === 'https:' || protocol === 'http:') && isBare;
}

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
