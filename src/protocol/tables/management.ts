import { accessEndpoints } from './access-endpoints.js';
import { RegistryError } from '../errors.js';
import {
  collectQuery,
  explainQuery,
  exportQuery,
  imagePageQuery,
  importQuery,
  pageQuery,
  purgeQuery,
} from './query-parameters.js';
import {
  repositoryConfigSchema,
  repositorySchemas,
  type RemoteRepositoryConfig,
  type RepositoryConfig,
} from '../settings/repository-config.js';
import { describeProblems, describeUnknown, type Problem } from '../settings/option-schema.js';
import { RouteTable, type Endpoint, type ParamsOf } from './route-table.js';
import { mapKeys, toCamelCase, toSnakeCase, toWirePath } from './spelling.js';

/** The management API, by the same mechanism as `/v2`. Mounted where the host likes: paths are relative to that place. */
export const managementEndpoints = [
  {
    op: 'health.get',
    method: 'GET',
    path: '/api/v1/health',
    access: 'none',
    spec: 'ours',
    summary: 'Reports whether the registry works: 200, also while uploads are refused on a full disk, or 503 and why.',
  },
  {
    op: 'repository.list',
    method: 'GET',
    path: '/api/v1/repositories',
    access: 'login',
    spec: 'ours',
    summary: 'Lists the repositories that the caller may pull from.',
  },
  {
    op: 'repository.create',
    method: 'POST',
    path: '/api/v1/repositories',
    access: 'admin',
    spec: 'ours',
    summary: 'Creates a repository: 201; 409 when the name is taken or stored with another type.',
  },
  {
    op: 'repository.get',
    method: 'GET',
    path: '/api/v1/repositories/:repository',
    access: 'admin',
    spec: 'ours',
    summary: 'Reads a repository.',
  },
  {
    op: 'repository.replace',
    method: 'PUT',
    path: '/api/v1/repositories/:repository',
    access: 'admin',
    spec: 'ours',
    summary: "Replaces a repository's settings; its name and type stay.",
  },
  {
    op: 'repository.delete',
    method: 'DELETE',
    path: '/api/v1/repositories/:repository',
    access: 'admin',
    spec: 'ours',
    summary: 'Deletes a repository and its content, even if it is no longer declared: 204.',
  },
  {
    op: 'image.list',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images',
    access: 'admin',
    spec: 'ours',
    query: imagePageQuery,
    summary: 'Lists the images of a repository with their sizes; `n`, `last`.',
  },
  {
    op: 'image.tags',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/tags',
    access: 'admin',
    spec: 'ours',
    query: pageQuery,
    summary: "Lists an image's tags with digests, types and sizes; `n`, `last`.",
  },
  {
    op: 'archive.import',
    method: 'POST',
    path: '/api/v1/repositories/:repository/import',
    access: 'login',
    spec: 'ours',
    query: importQuery,
    summary: 'Takes a tar of docker save or an OCI layout, raw or as a form, plain or compressed; `image`, `tag`.',
  },
  {
    op: 'archive.export',
    method: 'GET',
    path: '/api/v1/repositories/:repository/export',
    access: 'login',
    spec: 'ours',
    query: exportQuery,
    summary: 'Sends images as a tar, an OCI layout that docker load takes too; `name`, `platform`, `as`.',
  },
  {
    op: 'cache.purge',
    method: 'DELETE',
    path: '/api/v1/repositories/:repository/cache',
    access: 'admin',
    spec: 'ours',
    query: purgeQuery,
    summary: 'Drops what a cache keeps, or of one `image`, or one `tag` of it.',
  },
  {
    op: 'explain.get',
    method: 'GET',
    path: '/api/v1/explain',
    access: 'login',
    spec: 'ours',
    query: explainQuery,
    summary: 'Tells who would answer for `name` and `reference`, from where, how fresh and why; asks no upstream.',
  },
  {
    op: 'garbage.collect',
    method: 'POST',
    path: '/api/v1/gc',
    access: 'admin',
    spec: 'ours',
    query: collectQuery,
    summary: 'Reclaims space now; `dry_run=true` only counts.',
  },
  {
    op: 'quarantine.list',
    method: 'GET',
    path: '/api/v1/quarantine',
    access: 'admin',
    spec: 'ours',
    query: pageQuery,
    summary: 'Lists blobs that the collector set aside because the index does not refer to them; `n`, `last`.',
  },
  {
    op: 'quarantine.restore',
    method: 'POST',
    path: '/api/v1/quarantine/restore',
    access: 'admin',
    spec: 'ours',
    summary: 'Restores `digests`, or `all`. They are deleted after a grace period unless something refers to them.',
  },
  {
    op: 'quarantine.delete',
    method: 'DELETE',
    path: '/api/v1/quarantine/:digest',
    access: 'admin',
    spec: 'ours',
    summary: 'Deletes a quarantined blob now: 204; 409 when the index refers to it.',
  },
  ...accessEndpoints,
] as const satisfies readonly Endpoint[];

export type ManagementEndpoint = (typeof managementEndpoints)[number];
export type ManagementOp = ManagementEndpoint['op'];
export type ManagementParams<O extends ManagementOp> = ParamsOf<Extract<ManagementEndpoint, { op: O }>['path']>;

/** The paths that all of it lies at or under: `/api/v1/health`, `/api/v1/repositories` and so on, each once. */
export const managementRoots: readonly string[] = [
  ...new Set(managementEndpoints.map(({ path }) => path.split('/').slice(0, 4).join('/'))),
];

export const managementRoutes = new RouteTable<ManagementEndpoint>(managementEndpoints);

/** A repository as the API shows it. Secrets are written but never shown: `has_credentials` tells whether there are any. */
export function encodeRepository(record: {
  readonly config: RepositoryConfig;
  readonly origin: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}): Record<string, unknown> {
  const { name, type, ...settings } = record.config;
  const { credentials, ...shown } = settings as { credentials?: unknown };
  return {
    name,
    package_type: 'docker',
    repo_type: type,
    ...(mapKeys(shown, toSnakeCase) as object),
    ...(type === 'remote' ? { has_credentials: credentials !== undefined } : {}),
    origin: record.origin,
    created_at: encodeTime(record.createdAt),
    updated_at: encodeTime(record.updatedAt),
  };
}

/** Of all types of repositories, as the API spells them. */
const settingNames = Object.values(repositorySchemas).flatMap(({ shape }) => Object.keys(shape).map(toWirePath));

/** What the API adds to the settings: ignored on input, so that a document can be read, edited and put back. */
const shownOnly = new Set(['origin', 'created_at', 'updated_at', 'has_credentials', 'status']);

/**
 * A repository as the API takes it: snake case, `repo_type`, and `package_type: "docker"`.
 * @param replaced for a PUT: the name in the URL, which the document may leave out or has to agree with, and the settings
 * before, whose credentials stay unless the document has others or `null`.
 * @throws RegistryError OPTIONS_INVALID whose detail lists every problem with its path as written in the document.
 */
export function decodeRepository(
  document: unknown,
  replaced?: { readonly name: string; readonly before: RepositoryConfig | undefined },
): RepositoryConfig {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  const { package_type: packageType, ...rest } = document as Record<string, unknown>;
  const problems: Problem[] = [];
  if (packageType !== 'docker') problems.push({ path: 'package_type', problem: 'must be "docker"' });
  const name = replaced?.name;
  if (name !== undefined && (rest['name'] ?? name) !== name) problems.push({ path: 'name', problem: 'cannot change' });
  const settings: Record<string, unknown> = name === undefined ? {} : { name };
  if (replaced?.before?.type === 'remote') settings['credentials'] = replaced.before.credentials;
  for (const [key, value] of Object.entries(rest)) {
    if (/[A-Z]/.test(key) || key === 'type') problems.push({ path: key, problem: describeUnknown(key, settingNames) });
    else if (!shownOnly.has(key))
      settings[key === 'repo_type' ? 'type' : toCamelCase(key)] = mapKeys(value, toCamelCase);
  }
  const isElsewhere = replaced?.before?.type === 'remote' && !leadsToSame(replaced.before, settings);
  // Kept secrets never go to another host than the one that they were given for, nor by another way.
  if ((isElsewhere && !('credentials' in rest)) || settings['credentials'] == null) delete settings['credentials'];
  const checked = repositoryConfigSchema.safeParse(settings);
  if (!checked.success) {
    problems.push(...describeProblems(checked.error).map(toWireProblem));
  }
  if (!checked.success || problems.length > 0) throw problemsFound(problems);
  return checked.data;
}

/** Returns a problem with all names of options as the API spells them. */
function toWireProblem({ path, problem }: Problem): Problem {
  return { path: toWirePath(path), problem: problem.replace(/"[a-zA-Z0-9]+"/g, toSnakeCase) };
}

/** A proxy, whoever else is believed to be the host, or another realm sees what is sent. */
function leadsToSame(before: RemoteRepositoryConfig, now: Readonly<Record<string, unknown>>): boolean {
  const { url } = now;
  const isSameOrigin =
    typeof url === 'string' && URL.canParse(url) && new URL(url).origin === new URL(before.url).origin;
  const realms: unknown = now['trustedRealms'] ?? [];
  const known: readonly unknown[] = before.trustedRealms;
  const isSameRealms = Array.isArray(realms) && realms.every((host) => known.includes(host));
  return isSameOrigin && isSameRealms && now['proxy'] === before.proxy && now['ca'] === before.ca;
}

/** The state of a remote, with times as RFC 3339. */
export function encodeStatus(status: object): unknown {
  return mapKeys(status, toSnakeCase);
}

/** Encodes a health report, with times as RFC 3339. */
export function encodeHealth(report: object): object {
  const withTimes = JSON.stringify(report, (key, value: unknown) =>
    key.endsWith('At') && typeof value === 'number' ? encodeTime(value) : value,
  );
  return mapKeys(JSON.parse(withTimes), toSnakeCase) as object;
}

/** With times as RFC 3339. */
export function encodeExplanation(explanation: object): unknown {
  const { members, ...own } = explanation as { members?: readonly object[] };
  const times = Object.entries(own).map(([key, value]): [string, unknown] => {
    const isTime = typeof value === 'number' && (key === 'checkedAt' || key === 'freshUntil');
    return [toSnakeCase(key), isTime ? encodeTime(value) : value];
  });
  return {
    ...Object.fromEntries(times),
    ...(members === undefined ? {} : { members: members.map(encodeExplanation) }),
  };
}

/** RFC 3339, in UTC. */
export function encodeTime(at: number): string {
  return new Date(at).toISOString();
}

/** Problems that are named: nobody mends more at a time. */
const maxProblems = 50;

export function problemsFound(problems: readonly Problem[]): RegistryError {
  return new RegistryError('OPTIONS_INVALID', { detail: problems.slice(0, maxProblems) });
}
