/** Short names for what the metadata store's suites write again and again. */
import type { Change, ManifestRecord, DocumentKind, SessionRecord } from '../../src/ports/metadata.js';
import type { ImageKey } from '../../src/ports/images.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { parseSessionId, parseTag, type Tag } from '../../src/protocol/names.js';

export const at: ImageKey = { repository: 'r', image: 'team/app' };

export function digest(name: string): Digest {
  return digestOf(Buffer.from(name));
}

export function tagName(name: string): Tag {
  return parseTag(name);
}

export function repository(name: string, when = 1, description = ''): Change {
  return {
    type: 'repository.put',
    config: { name, type: 'local', sparse: true, description },
    origin: 'managed',
    when,
  };
}

export function link(name: string, when: number, image = at): Change {
  return { type: 'blob.link', at: image, digest: digest(name), size: 10, when };
}

export function unlink(name: string, when: number, image = at): Change {
  return { type: 'blob.unlink', at: image, digest: digest(name), when };
}

export function manifest(name: string, rest: Partial<ManifestRecord> = {}): ManifestRecord {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  return { digest: digest(name), mediaType, size: 100, references: [], contentBytes: 0, pushedAt: 1, ...rest };
}

/** A manifest in the image `at`, with tags. */
export function putManifest(name: string, rest: Partial<ManifestRecord> = {}, ...tags: readonly string[]): Change[] {
  return [{ type: 'manifest.put', at, manifest: manifest(name, rest) }, ...tags.map((text) => tag(text, name))];
}

export function deleteManifest(name: string, when: number): Change {
  return { type: 'manifest.delete', at, digest: digest(name), when };
}

export function tag(name: string, manifestName: string, updatedAt = 1): Change {
  return { type: 'tag.put', at, tag: { name: tagName(name), digest: digest(manifestName), updatedAt } };
}

export function touched(when: number, names: readonly string[], image = at): Change {
  return { type: 'cache.touched', at: image, digests: names.map(digest), when };
}

export function record(kind: DocumentKind, id: string, value: object = { id }): Change {
  return { type: 'document.put', kind, id, value };
}

/** The session with this number. */
export function session(number: string, image: ImageKey): SessionRecord {
  const id = parseSessionId(`00000000-0000-4000-8000-${number.padStart(12, '0')}`);
  return { id, at: image, startedAt: 1, algorithm: 'sha256' };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
