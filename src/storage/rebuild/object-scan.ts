import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import type { BlobContent, BlobInfo } from '../../ports/bytes.js';
import type { WorkOptions } from '../../ports/operations/backup.js';
import type { DamagedObject } from '../../ports/operations/rebuild.js';
import { refNameAnnotation } from '../../protocol/manifests/archive.js';
import { algorithmOf, formatDigest, isDigest, type Algorithm, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { maxManifestBytes, parseManifest } from '../../protocol/manifests/manifest.js';
import { viewManifest } from '../../protocol/manifests/manifest-view.js';
import { isTag, type Tag } from '../../protocol/names.js';
import { forEachParallel } from '../../util/scheduling/concurrency.js';
import { isUnreadable } from '../../util/streams/unreadable.js';
import { statEach } from '../stat-each.js';
import type { FoundObject, OpenedObject } from './found-objects.js';

const maxParallel = 8;
const mayBeJson = /^\s*\{/;
/** Enough to find the first character that is not a space. */
const sampleBytes = 64;

/** A manifest among the found bytes. */
export interface FoundManifest {
  readonly content: BlobContent;
  readonly storedAt: number;
}

/** A tag that an annotation gives to a manifest. */
export interface FoundTag {
  readonly tag: Tag;
  readonly digest: Digest;
  /** When the manifest with the annotation was stored. */
  readonly at: number;
}

/** Hashes all objects of a source, and finds the manifests among them. Keeps the digests in memory, not the bytes. */
export class ObjectScan {
  objects = 0;
  bytes = 0;
  /** The sizes of intact content. */
  readonly found = new Map<Digest, number>();
  readonly manifests = new Map<Digest, FoundManifest>();
  readonly tags: FoundTag[] = [];
  readonly damaged: DamagedObject[] = [];

  /** @throws the reason of the signal; errors of the store that do not concern a single object. */
  async run(objects: AsyncIterable<FoundObject>, { signal, onProgress }: WorkOptions): Promise<void> {
    await forEachParallel(objects, maxParallel, async (object) => {
      signal?.throwIfAborted();
      await this.#examine(object, signal);
      onProgress?.({ phase: `${this.objects} objects`, done: this.objects, bytes: this.bytes });
    });
  }

  /** Returns intact content, which is all in the store. */
  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const size = this.found.get(digest);
    return size === undefined ? undefined : { digest, size, modifiedAt: this.manifests.get(digest)?.storedAt ?? 0 };
  }

  /** Passes the intact content of these to the write. */
  async settle<T>(digests: Iterable<Digest>, write: (found: ReadonlyMap<Digest, BlobInfo>) => Promise<T>): Promise<T> {
    return write(await statEach(digests, (digest) => this.stat(digest)));
  }

  async #examine(object: FoundObject, signal: AbortSignal | undefined): Promise<void> {
    const opened = await object.open();
    if (opened === undefined) return;
    try {
      await this.#hash(object, opened, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (isGone(error)) return;
      if (!isUnreadable(error)) throw error;
      this.damaged.push({ name: object.name, expected: opened.expected, problem: 'unreadable' });
    }
    this.objects += 1;
    this.bytes += opened.content.size;
  }

  async #hash({ name, modifiedAt, recorded }: FoundObject, opened: OpenedObject, signal?: AbortSignal): Promise<void> {
    const { content, expected } = opened;
    if (recorded !== undefined && content.size > maxManifestBytes) {
      this.found.set(recorded, content.size);
      return;
    }
    const algorithm = expected === undefined ? 'sha256' : algorithmOf(expected);
    const { digest, json } = await hashContent(content, algorithm, signal);
    if (expected !== undefined && digest !== expected) {
      this.damaged.push({ name, expected, problem: 'digest' });
      return;
    }
    await opened.record(digest);
    this.found.set(digest, content.size);
    if (json !== undefined && isManifest(json, digest)) this.#add(digest, { content, storedAt: modifiedAt }, json);
  }

  #add(digest: Digest, manifest: FoundManifest, json: Buffer): void {
    this.manifests.set(digest, manifest);
    const { annotations, children } = viewManifest(json);
    for (const named of [{ digest, annotations }, ...children]) {
      const tag = toTag(named.annotations[refNameAnnotation] ?? '');
      if (tag !== undefined && isDigest(named.digest))
        this.tags.push({ tag, digest: named.digest, at: manifest.storedAt });
    }
  }
}

/** Returns the digest of content, and its bytes if they may be a manifest. */
async function hashContent(
  content: BlobContent,
  algorithm: Algorithm,
  signal: AbortSignal | undefined,
): Promise<{ readonly digest: Digest; readonly json: Buffer | undefined }> {
  const hash = createHash(algorithm);
  let kept: Buffer[] | undefined = content.size <= maxManifestBytes ? [] : undefined;
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      if (kept?.length === 0 && !mayBeJson.test(chunk.toString('latin1', 0, sampleBytes))) kept = undefined;
      // The content may use the chunk again.
      kept?.push(Buffer.from(chunk));
      done();
    },
  });
  sink.on('error', () => undefined);
  const stop = (): void => void sink.destroy();
  signal?.addEventListener('abort', stop);
  try {
    signal?.throwIfAborted();
    await content.writeTo(sink);
  } finally {
    signal?.removeEventListener('abort', stop);
    sink.destroy();
  }
  return { digest: formatDigest(algorithm, hash), json: kept && Buffer.concat(kept) };
}

/** Lenient, as an import is: a cache may have manifests that a push could not add. */
function isManifest(bytes: Buffer, digest: Digest): boolean {
  try {
    parseManifest(bytes, undefined, digest, { lenient: true });
    return true;
  } catch (error) {
    if (error instanceof RegistryError) return false;
    throw error;
  }
}

/** Returns the tag of a reference such as `1.0` or `docker.io/library/alpine:1.0`. */
function toTag(name: string): Tag | undefined {
  const tag = name.slice(name.lastIndexOf(':') + 1);
  return isTag(tag) ? tag : undefined;
}

function isGone(error: unknown): boolean {
  if (error instanceof RegistryError) return error.code === 'BLOB_UNKNOWN';
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
