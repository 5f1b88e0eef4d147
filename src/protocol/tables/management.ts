import { accessEndpoints } from './rows/access-endpoints.js';
import { imageEndpoints } from './rows/image-endpoints.js';
import { jobEndpoints } from './rows/job-endpoints.js';
import { monitoringEndpoints } from './rows/monitoring-endpoints.js';
import { protectionEndpoints } from './rows/protection-endpoints.js';
import { trashEndpoints } from './rows/trash-endpoints.js';
import { sessionEndpoints } from './rows/session-endpoints.js';
import { syncEndpoints } from './rows/sync-endpoints.js';
import { webhookEndpoints } from './rows/webhook-endpoints.js';
import { dryRunQuery, explainQuery, exportQuery, importQuery, purgeQuery } from './query-parameters.js';
import {
  repositoryConfigSchema,
  repositorySchemas,
  type RemoteRepositoryConfig,
  type RepositoryConfig,
} from '../settings/repository-config.js';
import { problemOfManaged } from '../settings/upstream-credentials.js';
import { upstreamUrlOf } from '../settings/upstream-presets.js';
import { describeProblems, describeUnknown, type Problem } from '../settings/option-schema.js';
import { encodeTime, problemsFound, toWireProblem } from './documents/encoding.js';
import { RouteTable, type Endpoint, type ParamsOf } from './route-table.js';
import { upkeepEndpoints } from './rows/upkeep-endpoints.js';
import { upstreamEndpoints } from './rows/upstream-endpoints.js';
import { mapKeys, toCamelCase, toSnakeCase, toWirePath } from './spelling.js';

export { encodeTime, problemsFound };

/** All operations of the management API, as for `/v2`. Paths are relative to where the host mounts it. */
export const managementEndpoints = [
  {
    op: 'health.get',
    method: 'GET',
    path: '/api/v1/health',
    access: 'none',
    spec: 'artifactapi',
    summary:
      'Reports the health of the registry: 200, even while it refuses uploads because the disk is full, or 503 with the reason.',
  },
  {
    op: 'openapi.get',
    method: 'GET',
    path: '/api/v1/openapi.json',
    access: 'none',
    spec: 'artifactapi',
    summary: 'Returns the OpenAPI 3.1 document of this API and of the registry.',
  },
  {
    op: 'selftest.body',
    method: 'POST',
    path: '/api/v1/selftest/body',
    access: 'login',
    spec: 'artifactapi',
    summary:
      'Counts and hashes a body of at most 1 GiB and stores nothing: shows what proxies on the way let through, and how the registry sees the client.',
  },
  {
    op: 'repository.list',
    method: 'GET',
    path: '/api/v1/repositories',
    access: 'login',
    spec: 'artifactapi',
    summary: 'Lists the repositories that the caller may pull from.',
  },
  {
    op: 'repository.create',
    method: 'POST',
    path: '/api/v1/repositories',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Creates a repository: 201; 409 if the name is taken, or has stored content of another type.',
  },
  {
    op: 'repository.get',
    method: 'GET',
    path: '/api/v1/repositories/:repository',
    access: 'browse',
    spec: 'artifactapi',
    summary:
      'Returns a repository: to its administrators with settings and status, to others with type and description.',
  },
  {
    op: 'repository.replace',
    method: 'PUT',
    path: '/api/v1/repositories/:repository',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Replaces the settings of a repository. Its name and type cannot change.',
  },
  {
    op: 'repository.delete',
    method: 'DELETE',
    path: '/api/v1/repositories/:repository',
    access: 'admin',
    spec: 'artifactapi',
    query: dryRunQuery,
    summary: 'Deletes a repository and its content, even if it is no longer declared: 204. `dry_run=true` only counts.',
  },
  {
    op: 'archive.import',
    method: 'POST',
    path: '/api/v1/repositories/:repository/import',
    access: 'login',
    spec: 'artifactapi',
    query: importQuery,
    summary:
      'Imports a docker save archive or an OCI layout, as the body or a form, optionally compressed; `image`, `tag`.',
  },
  {
    op: 'archive.export',
    method: 'GET',
    path: '/api/v1/repositories/:repository/export',
    access: 'browse',
    spec: 'artifactapi',
    query: exportQuery,
    summary: 'Exports images as a tar archive, an OCI layout that docker load also accepts; `name`, `platform`, `as`.',
  },
  {
    op: 'cache.purge',
    method: 'DELETE',
    path: '/api/v1/repositories/:repository/cache',
    access: 'admin',
    spec: 'artifactapi',
    query: purgeQuery,
    summary:
      'Deletes the content of a cache, optionally only one `image` or one `tag` of it; `dry_run=true` only counts.',
    change: 'cache.purged',
  },
  {
    op: 'explain.get',
    method: 'GET',
    path: '/api/v1/explain',
    access: 'browse',
    spec: 'artifactapi',
    query: explainQuery,
    summary: 'Explains how the registry would answer for `name` and `reference`. Does not contact upstreams.',
  },
  {
    op: 'garbage.collect',
    method: 'POST',
    path: '/api/v1/gc',
    access: 'admin',
    spec: 'artifactapi',
    query: dryRunQuery,
    summary:
      'Runs garbage collection now; `dry_run=true` only counts. The body may shorten the grace period: `grace_seconds`.',
  },
  ...upstreamEndpoints,
  ...upkeepEndpoints,
  ...imageEndpoints,
  ...accessEndpoints,
  ...protectionEndpoints,
  ...jobEndpoints,
  ...trashEndpoints,
  ...syncEndpoints,
  ...sessionEndpoints,
  ...monitoringEndpoints,
  ...webhookEndpoints,
] as const satisfies readonly Endpoint[];

/** An operation of the management API. */
export type ManagementEndpoint = (typeof managementEndpoints)[number];
/** The name of an operation of the management API. */
export type ManagementOp = ManagementEndpoint['op'];
/** The path parameters of an operation of the management API. */
export type ManagementParams<O extends ManagementOp> = ParamsOf<Extract<ManagementEndpoint, { op: O }>['path']>;

/** The paths at or under which all operations are: `/api/v1/health`, `/api/v1/repositories` and so on. */
export const managementRoots: readonly string[] = [
  ...new Set(managementEndpoints.map(({ path }) => path.split('/').slice(0, 4).join('/'))),
];

/** Matches requests of the management API. */
export const managementRoutes = new RouteTable<ManagementEndpoint>(managementEndpoints);

/** Returns a repository as the API shows it. `has_credentials` replaces secrets. */
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

/** The settings of all types of repositories, as the API spells them. */
const settingNames = Object.values(repositorySchemas).flatMap(({ shape }) => Object.keys(shape).map(toWirePath));

/** Fields that the API adds. They are ignored on input, so that clients can read, edit and put back a document. */
const readOnlyFields = new Set(['origin', 'created_at', 'updated_at', 'has_credentials', 'status', 'protection']);

/**
 * Decodes the document of a repository: snake case, `repo_type`, and `package_type: "docker"`.
 * @param replaced for a PUT: the name in the URL and the previous settings. The document may omit the name but not change it.
 * It keeps the previous credentials unless it contains others or `null`.
 * @throws RegistryError OPTIONS_INVALID with all problems and their paths in the document.
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
    else if (!readOnlyFields.has(key))
      settings[key === 'repo_type' ? 'type' : toCamelCase(key)] = mapKeys(value, toCamelCase);
  }
  const isElsewhere = replaced?.before?.type === 'remote' && !leadsToSame(replaced.before, settings);
  // Kept credentials are never sent to another host, or through another proxy, than they were set for.
  if ((isElsewhere && !('credentials' in rest)) || settings['credentials'] == null) delete settings['credentials'];
  const problem = problemOfManaged(rest['credentials']);
  if (problem !== undefined) problems.push({ path: 'credentials', problem });
  const checked = repositoryConfigSchema.safeParse(settings);
  if (!checked.success) problems.push(...describeProblems(checked.error).map(toWireProblem));
  if (!checked.success || problems.length > 0) throw problemsFound(problems);
  return checked.data;
}

/**
 * Returns whether credentials would reach the same servers as before: a new proxy, CA or realm could let others read
 * them.
 */
function leadsToSame(before: RemoteRepositoryConfig, now: Readonly<Record<string, unknown>>): boolean {
  const url = upstreamUrlOf(now);
  const isSameOrigin =
    typeof url === 'string' && URL.canParse(url) && new URL(url).origin === new URL(before.url).origin;
  const realms: unknown = now['trustedRealms'] ?? [];
  const known: readonly unknown[] = before.trustedRealms;
  const isSameRealms = Array.isArray(realms) && realms.every((host) => known.includes(host));
  return isSameOrigin && isSameRealms && now['proxy'] === before.proxy && now['ca'] === before.ca;
}
