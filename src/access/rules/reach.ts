import type { Reach } from '../../ports/access/access.js';
import { compilePattern, type Pattern } from '../../protocol/patterns.js';

/** Reaches every image of a repository. */
export const everyImage: Reach = { prefixes: [''], has: () => true, isWhole: true };

/**
 * Returns the images of a repository that any of the patterns of `repository/image` matches. Compiles each pattern only
 * once, for any number of images.
 */
export function reachOf(patterns: readonly string[], repository: string): Reach {
  const own = `${repository}/`;
  const exact = new Set<string>();
  const others: Pattern[] = [];
  const prefixes: string[] = [];
  for (const text of patterns) {
    const literal = text.split('*', 1)[0] ?? '';
    const isExact = literal === text;
    if (!literal.startsWith(own) && (isExact || !own.startsWith(literal))) continue;
    const pattern = compilePattern(text);
    const prefix = literal.slice(own.length);
    if (pattern.isPrefix && prefix === '') return everyImage;
    prefixes.push(prefix);
    if (isExact) exact.add(prefix);
    else others.push(pattern);
  }
  const has = (image: string): boolean => exact.has(image) || others.some((one) => one.matches(own + image));
  return { prefixes: shortest(prefixes), has };
}

/** Returns a reach of exactly these images. */
export function reachOfImages(images: readonly string[]): Reach {
  const exact = new Set(images);
  return { prefixes: shortest(images), has: (image) => exact.has(image) };
}

/** Returns a reach of the images that are in both. */
export function intersect(a: Reach, b: Reach): Reach {
  if (a.isWhole === true && b.isWhole === true) return everyImage;
  const within = (inner: Reach, outer: Reach): string[] => {
    const around = new Set(outer.prefixes);
    return inner.prefixes.filter((prefix) => {
      for (let end = 0; end <= prefix.length; end++) if (around.has(prefix.slice(0, end))) return true;
      return false;
    });
  };
  return { prefixes: shortest([...within(a, b), ...within(b, a)]), has: (image) => a.has(image) && b.has(image) };
}

/** Drops prefixes that begin with another one. Returns the rest in byte order, which is the sort order of ASCII names. */
function shortest(prefixes: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (const prefix of [...prefixes].sort()) {
    const last = kept.at(-1);
    if (last === undefined || !prefix.startsWith(last)) kept.push(prefix);
  }
  return kept;
}
