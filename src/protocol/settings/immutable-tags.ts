import type { Tag } from '../names.js';
import { matchesPattern } from '../patterns.js';
import type { RepositoryConfig } from './repository-config.js';

/**
 * Returns the pattern of `immutableTags` that makes a tag immutable: the first that matches, unless one of `mutableTags`
 * matches too. Returns `undefined` for a mutable tag, and in repositories of other types.
 */
export function immutablePatternOf(config: RepositoryConfig, tag: Tag): string | undefined {
  if (config.type !== 'local') return undefined;
  const matches = (pattern: string): boolean => matchesPattern(pattern, tag);
  const pattern = config.immutableTags.find(matches);
  return pattern !== undefined && config.mutableTags.some(matches) ? undefined : pattern;
}
