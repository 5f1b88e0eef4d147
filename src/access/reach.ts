import type { Reach } from '../ports/access.js';
import { compilePattern, type Pattern } from '../protocol/patterns.js';

/** Every image of a repository. */
export const everyImage: Reach = { prefixes: [''], has: () => true };

/**
 * Returns which images of a repository some patterns of `repository/image` match. Compiles each pattern once, however many
 * images are asked about.
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

/** Returns exactly these images. */
export function reachOfImages(images: readonly string[]): Reach {
  const exact = new Set(images);
  return { prefixes: shortest(images), has: (image) => exact.has(image) };
}

/** Returns the images that both reach. */
export function intersect(a: Reach, b: Reach): Reach {
  const within = (inner: Reach, outer: Reach): string[] => {
    const around = new Set(outer.prefixes);
    return inner.prefixes.filter((prefix) => {
      for (let end = 0; end <= prefix.length; end++) if (around.has(prefix.slice(0, end))) return true;
      return false;
    });
  };
  return { prefixes: shortest([...within(a, b), ...within(b, a)]), has: (image) => a.has(image) && b.has(image) };
}

/** The prefixes that begin with no other, in byte order: names are ASCII. */
function shortest(prefixes: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (const prefix of [...prefixes].sort()) {
    const last = kept.at(-1);
    if (last === undefined || !prefix.startsWith(last)) kept.push(prefix);
  }
  return kept;
}
