import type { RepositoryRecords } from '../ports/metadata/metadata.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { RegistryError } from '../protocol/errors.js';

/** Thrown when the index stores another type for a declared repository. The message is for the operator. */
export class StoredTypeError extends Error {
  override readonly name = 'StoredTypeError';
  readonly code = 'STORED_TYPE_DIFFERS';
}

/**
 * Compares each declared repository with the type that the index stores for its name, and writes nothing. Each type
 * trusts the content under its name: a cache would delete the tags that were pushed to a local repository as soon as
 * its upstream answers 404.
 * @throws StoredTypeError that lists every repository whose type differs.
 */
export async function checkStoredTypes(
  declared: readonly RepositoryConfig[],
  metadata: RepositoryRecords,
): Promise<void> {
  const changed: string[] = [];
  for (const { name, type } of declared) {
    const stored = (await metadata.repository(name))?.config.type;
    if (stored !== undefined && stored !== type)
      changed.push(`  "${name}" is stored as ${stored} and declared as ${type}`);
  }
  if (changed.length === 0) return;
  throw new StoredTypeError(
    [
      'the type of a repository cannot change:',
      ...changed,
      'To keep the stored content, declare the stored type again and give the new repository another name.',
      'To discard it, remove the repository from the configuration, start, send DELETE /api/v1/repositories/<name> as an',
      'administrator, then declare it with the new type.',
    ].join('\n'),
  );
}

/** @throws RegistryError CONFLICT that names both types. */
export function refuseTypeChange(stored: RepositoryConfig, requested: RepositoryConfig): void {
  if (stored.type === requested.type) return;
  throw new RegistryError('CONFLICT', {
    message: `repository "${stored.name}" is stored as ${stored.type} and cannot become ${requested.type}: use another name, or delete it first`,
    detail: { name: stored.name, stored: stored.type, requested: requested.type },
  });
}
