import type { RepositoryRecords } from '../../ports/metadata/metadata.js';
import { RegistryError } from '../../protocol/errors.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { readStoredRecord } from '../stored-config.js';

/**
 * Returns the settings of the repository to import into.
 * @throws RegistryError NAME_UNKNOWN when it does not exist, CONFLICT when it is not local.
 */
export async function findTarget(metadata: RepositoryRecords, name: string): Promise<LocalRepositoryConfig> {
  const record = await metadata.repository(name);
  if (record === undefined) {
    const known = (await metadata.repositories()).map(({ config }) => config.name);
    const message = `unknown repository "${name}": the registry has ${known.join(', ') || 'no repositories'}`;
    throw new RegistryError('NAME_UNKNOWN', { message });
  }
  const { config } = readStoredRecord(record);
  if (config.type === 'local') return config;
  throw new RegistryError('CONFLICT', {
    message: `repository "${name}" is ${config.type}: import into a local repository`,
  });
}
