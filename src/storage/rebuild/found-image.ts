import { PassThrough, type Readable } from 'node:stream';
import type { BlobContent } from '../../ports/bytes.js';
import type { SourceFault, SourceFile, SourceImage, SourceRegistry } from '../../ports/operations/migration.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { FoundTag, ObjectScan } from './object-scan.js';

/** Presents what a scan found as one image with all manifests. @param hasTags whether annotations give them tags. */
export function foundImage(name: string, scan: ObjectScan, hasTags: boolean): Pick<SourceRegistry, 'images'> {
  const damaged = new Set(scan.damaged.map(({ expected }) => expected));
  const image: SourceImage = {
    name,
    list: async () => ({
      manifests: [...scan.manifests].map(([digest, { storedAt }]) => ({ digest, at: storedAt })),
      tags: hasTags ? chooseTags(scan) : [],
      problems: [],
    }),
    findManifest: async (digest) => {
      const manifest = scan.manifests.get(digest);
      return manifest === undefined ? missing(digest) : toFile(digest, manifest.content.size, manifest.content);
    },
    findBlob: async (digest) => {
      const size = scan.found.get(digest);
      if (size !== undefined) return toFile(digest, size);
      return damaged.has(digest) ? { problem: 'wrong-digest', message: `the blob ${digest} is damaged` } : undefined;
    },
    movesOf: async () => [],
  };
  return {
    images: async function* () {
      yield image;
    },
  };
}

/** Returns the tags of manifests that were found. The newest annotation decides. */
function chooseTags({ tags, manifests }: ObjectScan): readonly FoundTag[] {
  const newest = new Map<Tag, FoundTag>();
  for (const found of tags) {
    const at = newest.get(found.tag)?.at ?? -Infinity;
    if (manifests.has(found.digest) && found.at > at) newest.set(found.tag, found);
  }
  return [...newest.values()];
}

/** The scan has hashed the bytes. Only those of manifests are read again. */
function toFile(digest: Digest, size: number, content?: BlobContent): SourceFile {
  const open = (): Readable => {
    const stream = new PassThrough();
    if (content === undefined) return stream.end();
    content.writeTo(stream).then(
      () => stream.end(),
      (error: Error) => stream.destroy(error),
    );
    return stream;
  };
  return { path: digest, size, open, digest: async () => digest };
}

function missing(digest: Digest): SourceFault {
  return { problem: 'missing-manifest', message: `the manifest ${digest} was not found` };
}
