/**
 * Whether a pattern matches the whole of a name: `*` stands for any characters but "/", `**` for any at all, everything else
 * for itself.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  // The places in the name up to which the pattern's parts so far can reach. No RegExp: many stars must not take forever.
  let reached = new Set([0]);
  for (const part of pattern.split(/(\*\*|\*)/)) {
    const next = new Set<number>();
    for (const at of reached) for (const end of endsOf(part, name, at)) next.add(end);
    reached = next;
  }
  return reached.has(name.length);
}

/** Whether one of the patterns, or more, matches the whole of the name. */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name));
}

/** Where a part can end that begins at a place of the name. */
function* endsOf(part: string, name: string, at: number): Generator<number> {
  if (part !== '*' && part !== '**') {
    if (name.startsWith(part, at)) yield at + part.length;
    return;
  }
  const slash = part === '**' ? -1 : name.indexOf('/', at);
  for (let end = at; end <= (slash < 0 ? name.length : slash); end++) yield end;
}
