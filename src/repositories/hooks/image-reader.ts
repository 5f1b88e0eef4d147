import type { Caller } from '../../ports/access/caller.js';
import type { HookImageReader, HookManifest } from '../../ports/hooks.js';
import type { ManifestContent } from '../../ports/metadata/images.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Repository } from '../../ports/repository.js';
import { parseDigest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import { viewManifest } from '../../protocol/manifests/manifest-view.js';
import { parseReference } from '../../protocol/names.js';
import { readBytes } from '../../util/streams/streams.js';

const maxListed = 1000;
const maxBlobBytes = 4 * 1024 * 1024;

/** An image and its repository. */
export interface ReadImage {
  readonly repository: Repository;
  readonly image: string;
}

/** The dependencies of a reader besides the repository. */
export interface ReaderParts {
  readonly metadata: Pick<MetadataStore, 'inventory'>;
}

/**
 * Creates a reader of an image. Reads do not count as pulls.
 * @param requested the image of a virtual repository that the request names: a push to it may name content of other members.
 */
export function createImageReader(
  { metadata }: ReaderParts,
  { repository, image }: ReadImage,
  caller: Caller,
  requested: ReadImage | undefined,
): HookImageReader {
  const quiet = quietly(caller);
  return {
    tags: async (page = {}) =>
      (await repository.listTags(quiet, image, { limit: maxListed, ...page }))?.items.slice() ?? [],
    manifest: async (reference) => {
      const found = await repository.getManifest(quiet, image, parseReference(reference));
      return found && describeManifest(found);
    },
    referrers: async (digest) =>
      (await repository.listReferrers(quiet, image, parseDigest(digest), { limit: maxListed })).items,
    indexesOf: async (digest) => {
      const at = { repository: repository.config.name, image };
      return (await metadata.inventory.holders(at, parseDigest(digest))).namedBy;
    },
    blob: async (digest) =>
      (await readBlob({ repository, image }, quiet, digest)) ?? (requested && readBlob(requested, quiet, digest)),
  };
}

/** Returns the caller for reads that are not pulls. */
export function quietly(caller: Caller): Caller {
  return { ...caller, actor: { ...caller.actor, via: 'job' } };
}

/** Creates the caller of background work, which may read everything. */
export function backgroundCaller(actor: Actor): Caller {
  return {
    principal: { id: actor.principal, groups: [], via: 'host' },
    actor,
    trail: [],
    mayPull: async () => true,
    reach: async () => ({ prefixes: [''], has: () => true }),
    hasLeft: () => false,
    mayMountFrom: async () => true,
  };
}

/** Describes a manifest for hooks. */
export function describeManifest({
  digest,
  mediaType,
  bytes,
}: Pick<ManifestContent, 'digest' | 'mediaType' | 'bytes'>): HookManifest {
  return { ...viewManifest(bytes), digest, mediaType, bytes };
}

async function readBlob({ repository, image }: ReadImage, caller: Caller, text: string): Promise<Buffer | undefined> {
  const digest = parseDigest(text);
  const found = await repository.getBlob(caller, image, digest);
  if (found === undefined) return undefined;
  if (found.size === undefined || found.size > maxBlobBytes) {
    const message = `blob ${digest} has ${found.size ?? 'an unknown number of'} bytes: hooks can read at most ${maxBlobBytes}`;
    throw new RegistryError('SIZE_INVALID', { status: 413, message });
  }
  const content = await found.content();
  return content && readBytes(content);
}
