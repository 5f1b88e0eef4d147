/** Short constructors for the changes and records of the suites. */
import type { DocumentKind } from '../../src/ports/metadata/documents.js';
import type { Change, SessionRecord } from '../../src/ports/metadata/metadata.js';
import type { ImageKey, ManifestRecord } from '../../src/ports/metadata/images.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { localConfig } from '../support/storage/local-config.js';
import { parseSessionId, parseTag, type Tag } from '../../src/protocol/names.js';

/** The image that the suites use. */
export const at: ImageKey = { repository: 'r', image: 'team/app' };

/** Returns the digest of a name. */
export function digest(name: string): Digest {
  return digestOf(Buffer.from(name));
}

/** Parses a tag. */
export function tagName(name: string): Tag {
  return parseTag(name);
}

/** Creates or replaces a local repository. */
export function repository(name: string, when = 1, description = ''): Change {
  return {
    type: 'repository.put',
    config: localConfig(name, { sparse: true, trashSeconds: 0, description }),
    origin: 'managed',
    when,
  };
}

/** Links a blob of 10 bytes. */
export function link(name: string, when: number, image = at): Change {
  return { type: 'blob.link', at: image, digest: digest(name), size: 10, when };
}

/** Unlinks a blob. */
export function unlink(name: string, when: number, image = at): Change {
  return { type: 'blob.unlink', at: image, digest: digest(name), when };
}

/** Returns the record of a manifest of 100 bytes. */
export function manifest(name: string, rest: Partial<ManifestRecord> = {}): ManifestRecord {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  return { digest: digest(name), mediaType, size: 100, references: [], contentBytes: 0, pushedAt: 1, ...rest };
}

/** Stores a manifest with tags in the image `at`. */
export function putManifest(name: string, rest: Partial<ManifestRecord> = {}, ...tags: readonly string[]): Change[] {
  return [{ type: 'manifest.put', at, manifest: manifest(name, rest) }, ...tags.map((text) => tag(text, name))];
}

/** Deletes a manifest of the image `at`. */
export function deleteManifest(name: string, when: number): Change {
  return { type: 'manifest.delete', at, digest: digest(name), when };
}

/** Points a tag of the image `at` to a manifest. */
export function tag(name: string, manifestName: string, updatedAt = 1): Change {
  return { type: 'tag.put', at, tag: { name: tagName(name), digest: digest(manifestName), updatedAt } };
}

/** Sets access times. */
export function touched(when: number, names: readonly string[], image = at): Change {
  return { type: 'cache.touched', at: image, digests: names.map(digest), when };
}

/** Stores a document. */
export function record(kind: DocumentKind, id: string, value: object = { id }): Change {
  return { type: 'document.put', kind, id, value };
}

/** Returns the upload session with this number. */
export function session(number: string, image: ImageKey): SessionRecord {
  const id = parseSessionId(`00000000-0000-4000-8000-${number.padStart(12, '0')}`);
  return { id, at: image, startedAt: 1, algorithm: 'sha256' };
}

/** Collects all items. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
