import type { RepositoryRecord } from '../ports/metadata.js';

/** Settings whose names changed, by the name that indexes of earlier releases hold. */
const renamedSettings: Readonly<Record<string, string>> = { cacheMaxBytes: 'maxCacheBytes' };

/** Returns a stored record with the settings under their present names. The next change of the repository stores them so. */
export function withPresentNames(record: RepositoryRecord): RepositoryRecord {
  const settings = Object.entries(record.config).map(
    ([name, value]) => [renamedSettings[name] ?? name, value] as const,
  );
  return { ...record, config: Object.fromEntries(settings) as unknown as RepositoryRecord['config'] };
}
