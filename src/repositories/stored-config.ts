import type { RepositoryRecord } from '../ports/metadata.js';
import { repositoryConfigSchema } from '../protocol/settings/repository-config.js';

/** Settings whose names changed, by the name that indexes of earlier releases hold. */
const renamedSettings: Readonly<Record<string, string>> = { cacheMaxBytes: 'maxCacheBytes' };

/**
 * Returns a stored record as this release reads it: settings under their present names, and the defaults of those that
 * earlier releases did not have. The next change of the repository stores them so.
 */
export function readStoredRecord(record: RepositoryRecord): RepositoryRecord {
  const settings = Object.entries(record.config).map(
    ([name, value]) => [renamedSettings[name] ?? name, value] as const,
  );
  // `fromEntries` loses the names of the settings. The schema below checks them.
  const config = Object.fromEntries(settings) as unknown as RepositoryRecord['config'];
  const checked = repositoryConfigSchema.safeParse(config);
  // What an earlier release accepted is served, even if this one would refuse it.
  return { ...record, config: checked.success ? checked.data : config };
}
