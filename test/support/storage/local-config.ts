import { repositorySchemas, type LocalRepositoryConfig } from '../../../src/protocol/settings/repository-config.js';

/** Returns the configuration of a local repository, with the default of every setting that is not given. */
export function localConfig(name: string, settings: Partial<LocalRepositoryConfig> = {}): LocalRepositoryConfig {
  return repositorySchemas.local.parse({ ...settings, name, type: 'local' });
}
