/**
 * Whether a pattern matches the whole of a name: `*` stands for any characters but "/", `**` for any at all, everything else
 * for itself.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === name;
  // Most patterns of a list differ before their first star: those cost nothing more.
  if (!name.startsWith(pattern.slice(0, star))) return false;
  // The places in the name up to which the pattern's parts so far can reach. No RegExp: many stars must not take forever.
  let reached = new Set([0]);
  for (const part of pattern.split(/(\*\*|\*)/)) {
    reached = part === '*' || part === '**' ? extend(reached, name, part) : advance(reached, name, part);
  }
  return reached.has(name.length);
}

/** Whether one of the patterns, or more, matches the whole of the name. */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name));
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
