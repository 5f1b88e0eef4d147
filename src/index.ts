/** The public API, and nothing else. */
export { createRegistry, type Registry } from './registry.js';
export {
  OptionsError,
  resolveOptions,
  type GarbageCollectionOptions,
  type LocalRepositoryOptions,
  type RemoteRepositoryOptions,
  type RegistryOptions,
  type RepositoryOptions,
  type ResolvedOptions,
  type VirtualRepositoryOptions,
} from './options.js';
export type { Middleware } from './http/handler.js';
export type {
  BlobStore,
  GarbageReport,
  ImageKey,
  Logger,
  MetadataStore,
  RegistryEvents,
  RepositoryDirectory,
  RepositoryRecord,
  RequestEvent,
} from './ports.js';
export type { RepositoryConfig, Problem, UpstreamCredentials } from './protocol/repository-config.js';
export { RegistryError, type ErrorCode } from './protocol/errors.js';
