import type { MovedTag, TagMoveRequest } from '../../ports/editing.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Caller } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { formatReference } from '../../protocol/names.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { busy, maxRetries } from '../content/manifest-record.js';
import { keepImmutable, refuses } from '../content/tag-guards.js';
import type { LocalParts } from './local-parts.js';

/**
 * Points a tag to a manifest that the image has.
 * @throws RegistryError MANIFEST_UNKNOWN for an unknown reference; CONFLICT with the present digest when the tag does not
 * name what the request expects; DENIED for an immutable tag, unless the request overrides that.
 */
export async function moveTag(
  config: LocalRepositoryConfig,
  { metadata, runtime, hooks }: LocalParts,
  caller: Caller,
  at: ImageKey,
  { tag, reference, expected, override }: TagMoveRequest,
): Promise<MovedTag> {
  for (let attempt = 0; attempt <= maxRetries; attempt++) {
    const named = 'digest' in reference ? reference.digest : (await metadata.tag(at, reference.tag))?.digest;
    const record = named && (await metadata.manifest(at, named));
    if (named === undefined || record === undefined) {
      const message = `image "${at.repository}/${at.image}" has no manifest "${formatReference(reference)}"`;
      throw new RegistryError('MANIFEST_UNKNOWN', { message, detail: { reference: formatReference(reference) } });
    }
    const was = (await metadata.tag(at, tag))?.digest;
    if (expected !== undefined && (was ?? null) !== expected) throw movedMeanwhile(tag, was);
    const moved: MovedTag = { digest: named, ...(was === undefined ? {} : { was }) };
    if (was === named) return moved;
    const immutable = keepImmutable(config, at.image, named);
    if (override !== true) immutable?.(tag, was);
    await hooks.tagMove?.({ at, actor: caller.actor, caller }, { tag, to: record, was });
    const when = runtime.now();
    const isOverridden = refuses(immutable, tag, was);
    const isMoved = await metadata.tryApply(
      [{ type: 'tag.put', at, tag: { name: tag, digest: named, updatedAt: when } }],
      {
        durable: true,
        require: [{ type: 'tag', at, tag, is: was === undefined ? 'absent' : { digest: was } }],
        by: { actor: caller.actor, at: when, ...(isOverridden ? { override: true as const } : {}) },
      },
    );
    if (!isMoved) continue;
    runtime.emit('tag.moved', { at, tag, digest: named, was, by: caller.actor });
    return moved;
  }
  throw busy();
}

function movedMeanwhile(tag: string, digest: Digest | undefined): RegistryError {
  const state = digest === undefined ? 'does not exist' : `names ${digest}`;
  return new RegistryError('CONFLICT', {
    message: `tag "${tag}" ${state}, not what "expected" says: read it again`,
    detail: { tag, digest: digest ?? null },
  });
}
