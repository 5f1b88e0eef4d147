import type { Owner } from '../../access/owner-access.js';
import type { ResolvedOptions } from '../../options/options-schema.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import { accessSettingsSchema } from '../../protocol/settings/access-settings.js';
import { readStoredRecord } from '../../repositories/stored-config.js';

/** A command that opens a data folder to administer it. */
export interface FolderOwner extends Owner {
  /** Whether the options are those of the registry. Otherwise the index decides which repositories there are. */
  readonly isConfigured: boolean;
}

/**
 * Returns the options for a data folder whose configuration is unknown. The repositories are those that the last start
 * declared, as the index has them, so that they are served. Accounts and rules can be administered, and signing keys
 * if there are some: a registry that does not use them gets none.
 */
export async function optionsOfFolder(options: ResolvedOptions, metadata: MetadataStore): Promise<ResolvedOptions> {
  const records = await metadata.repositories();
  const repositories = records
    .filter(({ origin }) => origin === 'declared')
    .map((record) => readStoredRecord(record).config);
  const keys = await metadata.documents('signing-key');
  const access = accessSettingsSchema.parse({ challenge: keys.length === 0 ? 'basic' : 'bearer' });
  return { ...options, repositories, access };
}
