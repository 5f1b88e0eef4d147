/** The public API, and nothing else. */
export { createRegistry, type Registry } from './registry.js';
export {
  OptionsError,
  resolveOptions,
  type GarbageCollectionOptions,
  type RegistryOptions,
  type ResolvedOptions,
} from './options.js';
export type { LimitOptions } from './limit-options.js';
export type {
  AccessOptions,
  AccessRuleOptions,
  HostIdentity,
  OidcIdentityOptions,
  OidcIssuerOptions,
  OwnTokensOptions,
  TokenServerOptions,
} from './access-options.js';
export type {
  LocalRepositoryOptions,
  RemoteRepositoryOptions,
  RepositoryOptions,
  VirtualRepositoryOptions,
} from './repository-options.js';
export type { Repositories, RepositoryView } from './repository-views.js';
export type { Middleware } from './http/handler.js';
export type {
  BlobStore,
  GarbageReport,
  HealthReport,
  ImageKey,
  Logger,
  MetadataStore,
  RefusalCounts,
  RefusalReason,
  RegistryEvents,
  RepositoryRecord,
  RequestEvent,
} from './ports.js';
export { managementRoots } from './protocol/management.js';
export type { RepositoryConfig, Problem, UpstreamCredentials } from './protocol/repository-config.js';
export { RegistryError, type ErrorCode } from './protocol/errors.js';
