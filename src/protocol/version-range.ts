import satisfies from 'semver/functions/satisfies.js';
import valid from 'semver/functions/valid.js';
import validRange from 'semver/ranges/valid.js';

/** Returns whether the text is a range of semantic versions, as npm writes them: `>=1.2 <3`, `^1.4`, `1.x`. */
export function isVersionRange(text: string): boolean {
  return text.trim() !== '' && validRange(text) !== null;
}

/**
 * Returns whether a tag is a whole version in the range: `1.2.3` or `v1.2.3`, but not `1.2`. A pre-release such as `1.2.3-rc.1`
 * is in the range only if the range names a pre-release of `1.2.3`.
 */
export function isInVersionRange(tag: string, range: string): boolean {
  return valid(tag) !== null && satisfies(tag, range);
}
