import type { RepositoryDirectory } from '../ports/repository.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { RepositoryRecord } from '../ports/metadata/metadata.js';
import { problemsFound } from '../protocol/tables/management.js';
import {
  repositoryConfigSchema,
  type LocalRepositoryConfig,
  type RemoteRepositoryConfig,
  type RepositoryConfig,
  type VirtualRepositoryConfig,
} from '../protocol/settings/repository-config.js';
import { problemOfManaged } from '../protocol/settings/upstream-credentials.js';
import { describeProblems } from '../protocol/settings/option-schema.js';
import type { RepositoryOptions } from '../options/generated/repository-options.js';

interface ViewedRecord {
  /** `declared` in the options, and fixed; or `managed` through the API or `create`. */
  readonly origin: RepositoryRecord['origin'];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

type RemoteView = Omit<RemoteRepositoryConfig, 'credentials'> & { readonly hasCredentials: boolean };

/** The settings of a repository, including defaults. A frozen copy without secrets, which may be logged. */
export type RepositoryView = (LocalRepositoryConfig | RemoteView | VirtualRepositoryConfig) & ViewedRecord;

/** Lists and changes the repositories of a registry. */
export interface Repositories {
  /** Returns all repositories, in the byte order of their names followed by a slash. */
  list(): readonly RepositoryView[];
  /** Returns a repository; `undefined` if it does not exist. */
  get(name: string): RepositoryView | undefined;
  /**
   * Creates a managed repository. It is stored in the data folder, including credentials.
   * @throws RegistryError OPTIONS_INVALID with every problem in `detail`; CONFLICT if the name is taken, or if an earlier
   * configuration stored it with another type.
   */
  create(options: RepositoryOptions): Promise<RepositoryView>;
  /**
   * Replaces all settings of a managed repository. Omitted settings get their defaults; omitted credentials are removed.
   * @throws RegistryError OPTIONS_INVALID; CONFLICT for a declared repository or another type; NAME_UNKNOWN.
   */
  replace(options: RepositoryOptions): Promise<RepositoryView>;
  /**
   * Deletes a managed repository, or the content that an earlier configuration left.
   * @throws RegistryError CONFLICT for a declared repository; NAME_UNKNOWN.
   */
  delete(name: string): Promise<void>;
}

/** The actor of changes that the host application makes through the registry object. */
export const hostApp: Actor = { principal: 'host application', via: 'code' };

/** Creates the public view of a directory. */
export function viewRepositories(directory: RepositoryDirectory): Repositories {
  return Object.freeze({
    list: () => Object.freeze(directory.list().map(({ record }) => viewOf(record))),
    get: (name) => {
      const found = directory.get(name);
      return found && viewOf(found.record);
    },
    create: async (options) => viewOf(await directory.create(readOptions(options), hostApp)),
    replace: async (options) => viewOf(await directory.replace(readOptions(options), hostApp)),
    delete: (name) => directory.delete(name, hostApp),
  } satisfies Repositories);
}

function viewOf({ config, origin, createdAt, updatedAt }: RepositoryRecord): RepositoryView {
  const times = { origin, createdAt, updatedAt };
  if (config.type !== 'remote') return freeze({ ...structuredClone(config), ...times });
  const { credentials, ...shown } = config;
  return freeze({ ...structuredClone(shown), hasCredentials: credentials !== undefined, ...times });
}

/** Checks the options and adds defaults. @throws RegistryError OPTIONS_INVALID. */
function readOptions(options: RepositoryOptions): RepositoryConfig {
  const checked = repositoryConfigSchema.safeParse(options);
  if (!checked.success) throw problemsFound(describeProblems(checked.error));
  const config = checked.data;
  const problem = config.type === 'remote' ? problemOfManaged(config.credentials) : undefined;
  if (problem !== undefined) throw problemsFound([{ path: 'credentials', problem }]);
  return config;
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
}
