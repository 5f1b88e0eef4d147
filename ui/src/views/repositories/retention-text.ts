import type { ProtectionDocument } from '../../../../src/protocol/documents/repositories.js';
import { count, formatDuration } from '../../format.ts';

type Policy = ProtectionDocument['retention'][number];

/** Describes what a retention policy keeps. */
export function describePolicy({ keep, untagged }: Policy): string {
  const tags = keep === undefined ? 'keeps all tags' : `keeps ${keep.map(describeLine).join(', and ')}`;
  const rest =
    untagged === undefined
      ? 'keeps untagged manifests'
      : `untagged manifests for ${formatDuration(untagged.keep_seconds)}`;
  return `${tags}; ${rest}`;
}

function describeLine({ tags, newest, used_within_seconds: used }: NonNullable<Policy['keep']>[number]): string {
  const names = tags.includes('**') || tags.includes('*') ? '' : ` ${tags.join(', ')}`;
  const which = newest === undefined ? `tags${names}` : `the newest ${count(newest, 'tag')}${names}`;
  return used === undefined ? which : `${which} used within ${formatDuration(used)}`;
}
