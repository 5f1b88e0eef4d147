import type { Provenance } from '../ports/metadata/images.js';

/**
 * Returns the headers that describe how a cache produced a response: `X-Cache` (hit, miss, stale), the repository,
 * `Age` in seconds since the last check with the upstream, and `Warning: 299` with the reason of a stale response.
 */
export function describeProvenance(provenance: Provenance | undefined, now: number): Record<string, string> {
  if (provenance === undefined) return {};
  const { repository, cache, checkedAt, reason } = provenance;
  return {
    'X-Cache': cache,
    'X-Cache-Repository': repository,
    ...(checkedAt === undefined ? {} : { Age: String(Math.max(0, Math.floor((now - checkedAt) / 1000))) }),
    ...(cache === 'stale' ? { Warning: `299 - "stale: ${quotable(reason ?? 'the upstream is unavailable')}"` } : {}),
  };
}

/** Returns text that is valid in a quoted string of a header, at most 500 characters. */
function quotable(text: string): string {
  return text
    .replace(/[^ -~]/g, '?')
    .replace(/["\\]/g, "'")
    .slice(0, 500);
}
