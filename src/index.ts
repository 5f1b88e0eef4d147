/** The public API of the package. */
export { createRegistry, type Registry } from './registry.js';
export { OptionsError, resolveOptions } from './options/resolve-options.js';
export type { AuditOptions, RegistryOptions } from './options/generated/registry-options.js';
export type { ResolvedOptions } from './options/options-schema.js';
export type { GarbageCollectionOptions, LimitOptions } from './options/generated/limit-options.js';
export type { SyncOptions } from './options/generated/sync-options.js';
export type { WebhookOptions } from './options/generated/webhook-options.js';
export type {
  AccessOptions,
  AccessRuleOptions,
  OidcIdentityOptions,
  OidcIssuerOptions,
  OwnTokensOptions,
  TokenServerOptions,
} from './options/generated/access-options.js';
export type { HostIdentity } from './protocol/settings/access-settings.js';
export type {
  LocalRepositoryOptions,
  RemoteRepositoryOptions,
  RepositoryOptions,
  VirtualRepositoryOptions,
} from './options/generated/repository-options.js';
export type { BucketStorageOptions, S3Keys, S3Options, StorageOptions } from './options/generated/storage-options.js';
export type { Repositories, RepositoryView } from './composition/repository-views.js';
export type { Middleware } from './http/handler.js';
export { createRegistryMiddleware, type MountOptions } from './http/mount.js';
export type { BlobStore } from './ports/bytes.js';
export type {
  HookDecision,
  HookedDelete,
  HookedManifestPut,
  HookedPull,
  HookedTagMove,
  HookImageReader,
  HookManifest,
  HookOptions,
  HookPullDecision,
  HookRefusal,
  HookRequest,
  HookSubstitute,
} from './ports/hooks.js';
export type { GarbageReport } from './ports/operations/garbage.js';
export type { HealthReport, Logger, RefusalCounts, RegistryEvents, RequestEvent } from './ports/runtime.js';
export type { MetadataStore, RepositoryRecord } from './ports/metadata/metadata.js';
export type { ImageKey } from './ports/metadata/images.js';
export type { RefusalReason } from './protocol/refusal-reasons.js';
export { managementRoots } from './protocol/tables/management.js';
export type { RepositoryConfig } from './protocol/settings/repository-config.js';
export type { UpstreamCredentials } from './protocol/settings/upstream-credentials.js';
export type { Problem } from './protocol/settings/option-schema.js';
export { RegistryError, type ErrorCode } from './protocol/errors.js';
