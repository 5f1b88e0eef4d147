import type { QuotaAdministration } from '../../ports/metadata/quotas.js';
import type { Repository, RepositoryDirectory } from '../../ports/repository.js';
import type { ProtectionDocument } from '../../protocol/documents/repositories.js';
import { mayMatchImageOf } from '../../protocol/patterns.js';
import type { RetentionPolicy } from '../../protocol/settings/retention-config.js';
import { encodeProtection } from '../../protocol/tables/documents/quota-documents.js';

/** The dependencies of `describeProtection`. */
export interface RepositoryRuleParts {
  readonly directory: RepositoryDirectory;
  readonly quotas: QuotaAdministration;
  /** Returns the retention policies, in order. */
  readonly retentionPolicies: () => readonly RetentionPolicy[];
}

/**
 * Returns the limits and the protection of a repository's images; for a virtual repository, those of its push target.
 * Caches and virtual repositories that refuse pushes have none.
 */
export async function describeProtection(
  { directory, quotas, retentionPolicies }: RepositoryRuleParts,
  repository: Repository,
): Promise<ProtectionDocument | undefined> {
  const { config } = directory.get(repository.pushTo ?? repository.config.name)?.repository ?? repository;
  if (!('immutableTags' in config)) return undefined;
  return encodeProtection(
    config,
    concerning(await quotas.list(), config.name),
    concerning(retentionPolicies(), config.name),
  );
}

/** Returns the items with patterns that may match images of the repository, reduced to these patterns. */
function concerning<T extends { readonly names: readonly string[] }>(
  all: readonly T[],
  repository: string,
): readonly T[] {
  return all
    .map((one) => ({ ...one, names: one.names.filter((pattern) => mayMatchImageOf(pattern, repository)) }))
    .filter(({ names }) => names.length > 0);
}
