import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { matchesPattern } from '../../protocol/patterns.js';

/** The tags of signatures, attestations and SBOMs, and the fallback tags of referrers. */
const attachedTags = /^sha(?:256|512)-[0-9a-f]+$|\.(?:sig|att|sbom)$/;

export interface Freshness {
  /**
   * How long a tag is served without revalidation. Longer when more than half of the upstream's rate limit is used up.
   */
  readonly seconds: number;
  /** False: every request asks the upstream, because a signature that was just made must be found. */
  readonly remembersAbsence: boolean;
}

/** Returns how fresh a tag must be: by the first rule that matches, otherwise by what the tag is for. */
export function freshnessOf(
  { tagTtlRules, tagTtlSeconds }: Pick<RemoteRepositoryConfig, 'tagTtlRules' | 'tagTtlSeconds'>,
  tag: string,
): Freshness {
  const rule = tagTtlRules.find(({ tags }) => matchesPattern(tags, tag));
  if (rule !== undefined) return { seconds: rule.ttlSeconds, remembersAbsence: true };
  const isAttached = attachedTags.test(tag);
  return { seconds: isAttached ? 0 : tagTtlSeconds, remembersAbsence: !isAttached };
}
