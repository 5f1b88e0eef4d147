/** A compiled pattern of names. */
export interface Pattern {
  /** The pattern up to its first star. Every matching name begins with it. */
  readonly literal: string;
  /** Whether every name that begins with `literal` matches. */
  readonly isPrefix: boolean;
  /** Returns whether the whole name matches. */
  matches(name: string): boolean;
}

/** Compiles a pattern: `*` matches any characters except "/", `**` matches any characters, others match themselves. */
export function compilePattern(text: string): Pattern {
  const star = text.indexOf('*');
  if (star < 0) return { literal: text, isPrefix: false, matches: (name) => name === text };
  const literal = text.slice(0, star);
  const isPrefix = text.length === star + 2 && text.endsWith('**');
  let parts: readonly string[] | undefined;
  const matches = (name: string): boolean => {
    // Most patterns in a list differ before their first star, so this check is usually enough.
    if (!name.startsWith(literal)) return false;
    if (isPrefix) return true;
    parts ??= text.split(/(\*\*|\*)/);
    return matchesParts(parts, name);
  };
  return { literal, isPrefix, matches };
}

/** Returns whether a pattern matches the whole name. */
export function matchesPattern(pattern: string, name: string): boolean {
  return compilePattern(pattern).matches(name);
}

/** Returns whether any of the patterns matches the whole name. */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name));
}

/** Returns whether a pattern of `repository/image` may match images of this repository. */
export function mayMatchImageOf(pattern: string, repository: string): boolean {
  const slash = pattern.indexOf('/');
  const head = slash < 0 ? pattern : pattern.slice(0, slash);
  const stars = head.indexOf('**');
  // `**` also matches the slash and what follows.
  if (stars >= 0) return matchesPattern(head.slice(0, stars + 2), `${repository}/`);
  return slash >= 0 && matchesPattern(head, repository);
}

function matchesParts(parts: readonly string[], name: string): boolean {
  // Positions in the name that the parts so far can reach. A RegExp could take exponential time for many stars.
  let reached = new Set([0]);
  for (const part of parts) {
    reached = part === '*' || part === '**' ? extend(reached, name, part) : advance(reached, name, part);
  }
  return reached.has(name.length);
}

function advance(reached: ReadonlySet<number>, name: string, text: string): Set<number> {
  const next = new Set<number>();
  for (const at of reached) if (name.startsWith(text, at)) next.add(at + text.length);
  return next;
}

/** Applies a star in one pass over the name, from any number of positions. */
function extend(reached: ReadonlySet<number>, name: string, star: '*' | '**'): Set<number> {
  const next = new Set<number>();
  let open = false;
  for (let at = 0; at <= name.length; at++) {
    open ||= reached.has(at);
    if (open) next.add(at);
    if (star === '*' && name[at] === '/') open = false;
  }
  return next;
}
