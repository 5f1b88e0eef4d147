import type { GatedChange } from '../../ports/hooks.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Caller } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import type { ParsedManifest } from '../../protocol/manifests/manifest.js';
import type { Tag } from '../../protocol/names.js';
import { busy } from '../content/manifest-record.js';
import type { TagGuard } from '../content/tag-guards.js';
import type { LocalParts } from './local-parts.js';

/**
 * Asks the hooks about a push: about the manifest, then about each tag that will move. Returns a guard that refuses the write
 * if a tag has moved since the hook decided.
 * @throws RegistryError DENIED, UNAVAILABLE.
 */
export async function askBeforePut(
  { hooks, metadata }: Pick<LocalParts, 'hooks' | 'metadata'>,
  caller: Caller,
  at: ImageKey,
  manifest: ParsedManifest,
  tags: readonly Tag[],
): Promise<TagGuard | undefined> {
  const { manifestPut, tagMove } = hooks;
  const change: GatedChange = { at, actor: caller.actor, caller };
  await manifestPut?.(change, manifest, tags);
  if (tagMove === undefined) return undefined;
  const decided = new Map<Tag, Digest | undefined>();
  for (const tag of tags) {
    const was = (await metadata.tag(at, tag))?.digest;
    decided.set(tag, was);
    if (was !== manifest.digest) await tagMove(change, { tag, to: manifest, was });
  }
  return (tag, present) => {
    if (present !== decided.get(tag)) throw busy();
    return present === undefined ? 'absent' : { digest: present };
  };
}
