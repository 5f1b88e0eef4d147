import type { Provenance } from '../ports/images.js';

/**
 * How an answer of a cache came about: `X-Cache` (hit, miss, stale), the repository that answered, `Age` in seconds since the
 * upstream was asked, and for a stale answer `Warning: 299` with the reason.
 */
export function describeProvenance(provenance: Provenance | undefined, now: number): Record<string, string> {
  if (provenance === undefined) return {};
  const { repository, cache, checkedAt, reason } = provenance;
  return {
    'X-Cache': cache,
    'X-Cache-Repository': repository,
    ...(checkedAt === undefined ? {} : { Age: String(Math.max(0, Math.floor((now - checkedAt) / 1000))) }),
    ...(cache === 'stale' ? { Warning: `299 - "stale: ${quotable(reason ?? 'the upstream could not tell')}"` } : {}),
  };
}

/** What may stand in a quoted string of a header, and not too much of it. */
function quotable(text: string): string {
  return text
    .replace(/[^ -~]/g, '?')
    .replace(/["\\]/g, "'")
    .slice(0, 500);
}
