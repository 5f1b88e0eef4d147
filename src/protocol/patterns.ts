/** A pattern of names, ready to be asked about many of them. */
export interface Pattern {
  /** What every name that matches begins with: the pattern up to its first star. */
  readonly literal: string;
  /** Whether every name that begins with `literal` matches. */
  readonly isPrefix: boolean;
  /** Whether the whole of the name matches. */
  matches(name: string): boolean;
}

/** Reads a pattern: `*` stands for any characters but "/", `**` for any at all, everything else for itself. */
export function compilePattern(text: string): Pattern {
  const star = text.indexOf('*');
  if (star < 0) return { literal: text, isPrefix: false, matches: (name) => name === text };
  const literal = text.slice(0, star);
  const isPrefix = text.length === star + 2 && text.endsWith('**');
  let parts: readonly string[] | undefined;
  const matches = (name: string): boolean => {
    // Most patterns of a list differ before their first star: those cost nothing more.
    if (!name.startsWith(literal)) return false;
    if (isPrefix) return true;
    parts ??= text.split(/(\*\*|\*)/);
    return matchesParts(parts, name);
  };
  return { literal, isPrefix, matches };
}

/** Whether a pattern matches the whole of a name. */
export function matchesPattern(pattern: string, name: string): boolean {
  return compilePattern(pattern).matches(name);
}

/** Whether one of the patterns, or more, matches the whole of the name. */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name));
}

function matchesParts(parts: readonly string[], name: string): boolean {
  // The places in the name up to which the pattern's parts so far can reach. No RegExp: many stars must not take forever.
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

/** One pass over the name, from however many places a star begins. */
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
