import type { RepositoryDirectory } from '../ports/repository.js';
import type { RepositoryRecord } from '../ports/metadata.js';
import { problemsFound } from '../protocol/tables/management.js';
import {
  repositoryConfigSchema,
  type LocalRepositoryConfig,
  type RemoteRepositoryConfig,
  type RepositoryConfig,
  type VirtualRepositoryConfig,
} from '../protocol/settings/repository-config.js';
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

/** The settings of a repository, defaults included. A frozen copy without secrets: it can be logged. */
export type RepositoryView = (LocalRepositoryConfig | RemoteView | VirtualRepositoryConfig) & ViewedRecord;

/** The repositories of a registry, as the host application sees and changes them. */
export interface Repositories {
  /** In the byte order of their names followed by a slash. */
  list(): readonly RepositoryView[];
  get(name: string): RepositoryView | undefined;
  /**
   * Creates a managed repository, which the data folder keeps with its credentials.
   * @throws RegistryError OPTIONS_INVALID with every problem in `detail`; CONFLICT when the name is taken, or stored with another
   * type by an earlier configuration.
   */
  create(options: RepositoryOptions): Promise<RepositoryView>;
  /**
   * Replaces all settings of a managed repository. Settings that are left out get their defaults, and credentials are removed.
   * @throws RegistryError OPTIONS_INVALID; CONFLICT for a declared repository and for another type; NAME_UNKNOWN.
   */
  replace(options: RepositoryOptions): Promise<RepositoryView>;
  /** Deletes a managed repository, or what an earlier configuration left. @throws RegistryError CONFLICT; NAME_UNKNOWN. */
  delete(name: string): Promise<void>;
}

/** The public view of a directory. */
export function viewRepositories(directory: RepositoryDirectory): Repositories {
  return Object.freeze({
    list: () => Object.freeze(directory.list().map(({ record }) => viewOf(record))),
    get: (name) => {
      const found = directory.get(name);
      return found && viewOf(found.record);
    },
    create: async (options) => viewOf(await directory.create(readOptions(options))),
    replace: async (options) => viewOf(await directory.replace(readOptions(options))),
    delete: (name) => directory.delete(name),
  } satisfies Repositories);
}

function viewOf({ config, origin, createdAt, updatedAt }: RepositoryRecord): RepositoryView {
  const times = { origin, createdAt, updatedAt };
  if (config.type !== 'remote') return freeze({ ...structuredClone(config), ...times });
  const { credentials, ...shown } = config;
  return freeze({ ...structuredClone(shown), hasCredentials: credentials !== undefined, ...times });
}

/** @throws RegistryError OPTIONS_INVALID. */
function readOptions(options: RepositoryOptions): RepositoryConfig {
  const checked = repositoryConfigSchema.safeParse(options);
  if (!checked.success) throw problemsFound(describeProblems(checked.error));
  const config = checked.data;
  if (config.type === 'remote' && typeof config.credentials === 'function') {
    const problem = 'must not be a function: the data folder cannot keep one. Declare this repository in the options';
    throw problemsFound([{ path: 'credentials', problem }]);
  }
  return config;
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
}
