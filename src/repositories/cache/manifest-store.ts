import { Readable } from 'node:stream';
import type { ManifestContent, ManifestRecord } from '../../ports/metadata/images.js';
import type { TagRecord } from '../../ports/metadata/metadata.js';
import { algorithmOf, type Digest } from '../../protocol/digest.js';
import { isInsufficientStorage, RegistryError } from '../../protocol/errors.js';
import { parseManifest, type ParsedManifest } from '../../protocol/manifests/manifest.js';
import type { Tag } from '../../protocol/names.js';
import { TurnGate } from '../../util/scheduling/turns.js';
import { recordManifest, toRecord } from '../content/manifest-record.js';
import { leaveMoved, type TagState } from '../content/tag-guards.js';
import type { CacheContext } from './cache-context.js';
import { stageTransient } from '../content/transient-staging.js';
import { UnsavedManifests } from './unsaved-manifests.js';
import { publish } from '../content/publish.js';

/**
 * Stores the manifests and tags of a cache. While the disk is full, new ones stay in memory and are written when they
 * are requested again and there is room. Never uses the disk reserve.
 */
export class ManifestStore {
  readonly #context: CacheContext;
  readonly #unsaved = new UnsavedManifests();
  readonly #gate = new TurnGate();

  constructor(context: CacheContext) {
    this.#context = context;
  }

  async tag(image: string, tag: Tag): Promise<TagRecord | undefined> {
    const unsaved = this.#unsaved.tag(image, tag);
    if (unsaved !== undefined) await this.putTag(image, unsaved);
    return this.#unsaved.tag(image, tag) ?? this.#context.parts.metadata.tag(this.#context.at(image), tag);
  }

  async manifest(image: string, digest: Digest): Promise<ManifestRecord | undefined> {
    const unsaved = this.#unsaved.manifest(image, digest);
    const { metadata, blobs } = this.#context.parts;
    if (unsaved === undefined) return metadata.manifest(this.#context.at(image), digest);
    const hasRoom = await blobs.ensureRoom(unsaved.record.size).then(
      () => true,
      () => false,
    );
    return hasRoom ? this.put(image, unsaved.content) : unsaved.record;
  }

  /** Returns the bytes of a manifest; `undefined` when they are missing or damaged. */
  async read(image: string, { digest, size }: ManifestRecord): Promise<Buffer | undefined> {
    const { recent, blobs } = this.#context.parts;
    const kept = recent.get(digest) ?? this.#unsaved.manifest(image, digest)?.content.bytes;
    if (kept !== undefined) return kept;
    const content = await blobs.read(digest);
    return content?.size === size ? recent.read(digest, content) : undefined;
  }

  /**
   * Stores a manifest unchanged under its digest, and the tag unless it changed since the upstream was asked.
   * @param known the tag when the upstream was asked
   * @throws RegistryError MANIFEST_INVALID.
   */
  async put(image: string, content: ManifestContent, tag?: TagRecord, known?: TagRecord): Promise<ManifestRecord> {
    const { parts } = this.#context;
    await this.#gate.pass(content.bytes.length);
    const manifest = parseManifest(content.bytes, content.mediaType, content.digest, { lenient: true });
    const isNew = this.#unsaved.manifest(image, manifest.digest) === undefined;
    try {
      const expected = tag === undefined ? undefined : this.#stateOf(image, tag.name, known);
      const record = await this.#write(image, manifest, tag, expected);
      this.#unsaved.forgetManifest(image, manifest.digest);
      if (tag !== undefined) this.#unsaved.forgetTag(image, tag.name);
      if (isNew) this.#context.noteFetched(image, manifest.digest, manifest.bytes.length);
      this.#context.noteStored(image, manifest.digest, manifest.bytes.length);
      return record;
    } catch (error) {
      if (!isInsufficientStorage(error)) throw error;
      const record = toRecord(manifest, parts.runtime.now());
      this.#unsaved.keepManifest(image, { record, content });
      if (tag !== undefined) this.#unsaved.keepTag(image, tag);
      if (isNew) this.#context.noteUncached(manifest.bytes.length);
      return record;
    }
  }

  /**
   * Stores a tag that names a stored manifest. Does nothing when the manifest was evicted or the tag changed in the
   * meantime: an answer to an older question must not move a tag back.
   */
  async putTag(image: string, tag: TagRecord): Promise<void> {
    const { metadata, blobs } = this.#context.parts;
    const at = this.#context.at(image);
    const unsaved = this.#unsaved.manifest(image, tag.digest);
    if (unsaved !== undefined) {
      await this.put(image, unsaved.content, tag, tag);
      return;
    }
    try {
      await blobs.ensureRoom(0);
      const is = this.#stateOf(image, tag.name, tag);
      const require = is === undefined ? [] : [{ type: 'tag', at, tag: tag.name, is } as const];
      await metadata.tryApply([{ type: 'tag.put', at, tag }], { durable: false, require });
      this.#unsaved.forgetTag(image, tag.name);
    } catch (error) {
      if (!isInsufficientStorage(error)) throw error;
      this.#unsaved.keepTag(image, tag);
    }
  }

  /**
   * Deletes a tag unless it changed since it was read. On a full disk the index may keep it: then the upstream is asked
   * about it again.
   */
  async deleteTag(image: string, known: TagRecord): Promise<void> {
    const at = this.#context.at(image);
    const is = this.#stateOf(image, known.name, known);
    const require = is === undefined ? [] : [{ type: 'tag', at, tag: known.name, is } as const];
    this.#unsaved.forgetTag(image, known.name);
    try {
      const change = { type: 'tag.delete', at, tag: known.name } as const;
      await this.#context.parts.metadata.tryApply([change], { durable: false, require });
    } catch (error) {
      if (!isInsufficientStorage(error)) throw error;
    }
  }

  /** Forgets content that is only in memory. */
  forget(image?: string): void {
    this.#unsaved.forget(image);
  }

  /** Returns the precondition on a tag in the index; `undefined` when memory has a newer record than the index. */
  #stateOf(image: string, tag: Tag, known: TagRecord | undefined): TagState | undefined {
    if (this.#unsaved.tag(image, tag) !== undefined) return undefined;
    return known === undefined ? 'absent' : { digest: known.digest };
  }

  async #write(
    image: string,
    manifest: ParsedManifest,
    tag: TagRecord | undefined,
    expected: TagState | undefined,
  ): Promise<ManifestRecord> {
    const { parts } = this.#context;
    const at = this.#context.at(image);
    const checkedAt = tag?.checkedAt ?? parts.runtime.now();
    const tags = tag === undefined ? [] : [tag.name];
    const guard = expected && leaveMoved(expected);
    const staged = await stageTransient(parts, 'fill', algorithmOf(manifest.digest));
    try {
      await staged.append(Readable.from([manifest.bytes]));
      await publish(parts, staged, manifest.digest, () =>
        recordManifest(parts, at, manifest, { tags, sparse: true, checkedAt, guard }),
      );
    } catch (error) {
      await staged.discard();
      throw error;
    }
    parts.recent.set(manifest.digest, manifest.bytes);
    const record = await parts.metadata.manifest(at, manifest.digest);
    if (record === undefined)
      throw new RegistryError('UNAVAILABLE', { message: 'the manifest was evicted immediately' });
    return record;
  }
}
