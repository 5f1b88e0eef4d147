import { RegistryError } from './errors.js';
import { describeProblems, repositoryConfigSchema, type Problem, type RepositoryConfig } from './repository-config.js';
import { RouteTable, type Endpoint, type ParamsOf } from './route-table.js';

/** The management API, by the same mechanism as `/v2`. Mounted where the host likes: paths are relative to that place. */
export const managementEndpoints = [
  {
    op: 'health.get',
    method: 'GET',
    path: '/api/v1/health',
    access: 'none',
    spec: 'ours',
    summary: 'Tells whether the registry is ready: 200, or 503 and why not.',
  },
  {
    op: 'repository.list',
    method: 'GET',
    path: '/api/v1/repositories',
    access: 'admin',
    spec: 'ours',
    summary: 'Lists the repositories.',
  },
  {
    op: 'repository.create',
    method: 'POST',
    path: '/api/v1/repositories',
    access: 'admin',
    spec: 'ours',
    summary: 'Makes a repository: 201; 409 when the name is taken.',
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
    summary: 'Deletes a repository with all that it holds: 204.',
  },
  {
    op: 'image.list',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images',
    access: 'admin',
    spec: 'ours',
    summary: 'Lists the images of a repository with their sizes; `n`, `last`.',
  },
  {
    op: 'image.tags',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/tags',
    access: 'admin',
    spec: 'ours',
    summary: "Lists an image's tags with digests, types and sizes; `n`, `last`.",
  },
  {
    op: 'garbage.collect',
    method: 'POST',
    path: '/api/v1/gc',
    access: 'admin',
    spec: 'ours',
    summary: 'Reclaims space now; `dry_run=true` only counts.',
  },
] as const satisfies readonly Endpoint[];

export type ManagementEndpoint = (typeof managementEndpoints)[number];
export type ManagementOp = ManagementEndpoint['op'];
export type ManagementParams<O extends ManagementOp> = ParamsOf<Extract<ManagementEndpoint, { op: O }>['path']>;

export const managementRoutes = new RouteTable<ManagementEndpoint>(managementEndpoints);

/** A repository as the API shows it. Secrets are written but never shown. */
export function encodeRepository(record: {
  readonly config: RepositoryConfig;
  readonly origin: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}): Record<string, unknown> {
  const { name, type, ...settings } = record.config;
  return {
    name,
    package_type: 'docker',
    repo_type: type,
    ...Object.fromEntries(Object.entries(settings).map(([key, value]) => [toSnakeCase(key), value])),
    origin: record.origin,
    created_at: encodeTime(record.createdAt),
    updated_at: encodeTime(record.updatedAt),
  };
}

/** What `encodeRepository` adds to the settings: ignored on input, so that a document can be read, edited and put back. */
const shownOnly = new Set(['origin', 'created_at', 'updated_at']);

/**
 * A repository as the API takes it: snake case, `repo_type`, and `package_type: "docker"`.
 * @param name the name in the URL, for a PUT; the document may leave it out, or has to agree.
 * @throws RegistryError OPTIONS_INVALID whose detail lists every problem with its path as written in the document.
 */
export function decodeRepository(document: unknown, name?: string): RepositoryConfig {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  const { package_type: packageType, ...rest } = document as Record<string, unknown>;
  const problems: Problem[] = [];
  if (packageType !== 'docker') problems.push({ path: 'package_type', problem: 'must be "docker"' });
  if (name !== undefined && (rest['name'] ?? name) !== name) problems.push({ path: 'name', problem: 'cannot change' });
  const settings: Record<string, unknown> = name === undefined ? {} : { name };
  for (const [key, value] of Object.entries(rest)) {
    if (/[A-Z]/.test(key) || key === 'type') problems.push({ path: key, problem: 'is no option' });
    else if (!shownOnly.has(key)) settings[key === 'repo_type' ? 'type' : toCamelCase(key)] = value;
  }
  const checked = repositoryConfigSchema.safeParse(settings);
  if (!checked.success) {
    problems.push(...describeProblems(checked.error).map(({ path, problem }) => ({ path: toWirePath(path), problem })));
  }
  if (!checked.success || problems.length > 0) throw problemsFound(problems);
  return checked.data;
}

/** RFC 3339, in UTC. */
export function encodeTime(at: number): string {
  return new Date(at).toISOString();
}

export function problemsFound(problems: readonly Problem[]): RegistryError {
  return new RegistryError('OPTIONS_INVALID', { detail: problems });
}

function toWirePath(path: string): string {
  return path === 'type' ? 'repo_type' : toSnakeCase(path);
}

function toSnakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function toCamelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
