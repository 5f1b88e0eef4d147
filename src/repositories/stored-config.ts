import { isDeepStrictEqual } from 'node:util';
import type { RepositoryRecord } from '../ports/metadata/metadata.js';
import { repositoryConfigSchema, type RepositoryConfig } from '../protocol/settings/repository-config.js';

/** Settings whose names changed, by the name that indexes of earlier releases hold. */
const renamedSettings: Readonly<Record<string, string>> = { cacheMaxBytes: 'maxCacheBytes' };

/**
 * Returns a stored record as this release reads it: settings under their current names, and defaults for those that
 * earlier releases did not have. The next change of the repository stores this form.
 */
export function readStoredRecord(record: RepositoryRecord): RepositoryRecord {
  const settings = Object.entries(record.config).map(
    ([name, value]) => [renamedSettings[name] ?? name, value] as const,
  );
  // `fromEntries` loses the names of the settings. The schema below checks them.
  const config = Object.fromEntries(settings) as unknown as RepositoryRecord['config'];
  const checked = repositoryConfigSchema.safeParse(config);
  // Settings that an earlier release accepted stay in effect, even if this one would refuse them.
  return { ...record, config: checked.success ? checked.data : config };
}

/** Compares configurations in their stored form, without undefined fields and functions. */
export function isSameDocument(stored: RepositoryConfig, config: RepositoryConfig): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(stored)), JSON.parse(JSON.stringify(config)));
}

/** Returns the settings as the index keeps those of a declared repository. */
export function withoutCredentials(config: RepositoryConfig): RepositoryConfig {
  if (config.type !== 'remote') return config;
  const { credentials: _credentials, ...rest } = config;
  return rest;
}

/** Returns whether credentials that are a function are the same function. */
export function hasSameFunctions(a: RepositoryConfig, b: RepositoryConfig): boolean {
  const [before, after] = [a, b].map((config) => (config.type === 'remote' ? config.credentials : undefined));
  return (typeof before !== 'function' && typeof after !== 'function') || before === after;
}
