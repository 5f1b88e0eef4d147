import { Readable } from 'node:stream';
import type {
  Caller,
  PutManifestOptions,
  ReceivedBlob,
  RepositoryWriter,
  UploadChunk,
  UploadStatus,
  WriteConditions,
} from '../../ports/repository.js';
import type { StagedBlob } from '../../ports/bytes.js';
import type { Change, Precondition } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { LocalRepositoryConfig, Sparse } from '../../protocol/settings/repository-config.js';
import { algorithmOf, type Algorithm, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { ParsedManifest } from '../../protocol/manifests/manifest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import { drain } from '../../util/streams/streams.js';
import { LocalEditor } from './local-editor.js';
import { repeatableMs } from './finished-uploads.js';
import { renewLease } from './lease.js';
import { askBeforePut } from './local-hooks.js';
import { LocalDeletions } from './deletion/local-deletions.js';
import type { LocalParts } from './local-parts.js';
import { findMountSource } from './mount-source.js';
import { LocalQuota } from './quota/local-quota.js';
import { busy, recordManifest, refuseLargeAnnotations, repositoryGone } from '../content/manifest-record.js';
import { joinGuards, keepImmutable, requireCondition } from '../content/tag-guards.js';
import { receiveBlob } from './received-blob.js';
import { stageTransient } from '../content/transient-staging.js';
import { tryApplyWithin } from '../content/quota-writes.js';
import { publish } from '../content/publish.js';
import { appendBounded, UploadSessions } from './upload-session.js';

/** A manifest settles its own bytes and the blobs that it names at once. */
const unsynced = { durable: false } as const;

/** Writes to a local repository. Content is durable before a manifest names it. */
export class LocalWriter implements RepositoryWriter {
  readonly sparse: Sparse;
  readonly editor: LocalEditor;
  readonly #config: LocalRepositoryConfig;
  readonly #parts: LocalParts;
  readonly #sessions: UploadSessions;
  readonly #deletions: LocalDeletions;
  readonly #quota: LocalQuota;

  constructor(config: LocalRepositoryConfig, parts: LocalParts) {
    this.sparse = config.sparse;
    this.editor = new LocalEditor(config, parts);
    this.#config = config;
    this.#parts = parts;
    this.#sessions = new UploadSessions(parts);
    this.#deletions = new LocalDeletions(config, parts);
    this.#quota = new LocalQuota(config, parts);
  }

  async startUpload(caller: Caller, image: string, algorithm: Algorithm): Promise<UploadStatus> {
    const session = await this.#sessions.start(this.#at(image), algorithm);
    if (session === undefined) throw await this.#conflict();
    return { id: session.id, size: 0, minChunkBytes: this.#parts.blobs.minChunkBytes };
  }

  async uploadStatus(caller: Caller, image: string, id: SessionId): Promise<UploadStatus> {
    return { id, size: await this.#sessions.size(this.#at(image), id) };
  }

  async appendUpload(caller: Caller, image: string, id: SessionId, chunk: UploadChunk): Promise<UploadStatus> {
    return this.#sessions.use(this.#at(image), id, async (staged) => {
      await this.#sessions.receive(id, staged, chunk, 'keep', await this.#quota.limitOf(this.#at(image)));
      return { id, size: staged.size };
    });
  }

  async completeUpload(
    caller: Caller,
    image: string,
    id: SessionId,
    digest: Digest,
    chunk: UploadChunk,
  ): Promise<void> {
    try {
      await this.#finishUpload(caller, image, id, digest, chunk);
    } catch (error) {
      const isUnknown = error instanceof RegistryError && error.code === 'BLOB_UPLOAD_UNKNOWN';
      if (!isUnknown || !(await this.#isFinished(caller, image, id, digest))) throw error;
      // Many clients do not read the answer before they have sent the whole body.
      await drain(chunk.source, { maxBytes: this.#parts.maxBlobBytes, maxMs: repeatableMs });
    }
  }

  async #finishUpload(caller: Caller, image: string, id: SessionId, digest: Digest, chunk: UploadChunk): Promise<void> {
    const at = this.#at(image);
    await this.#sessions.use(at, id, async (staged) => {
      await this.#sessions.receive(id, staged, chunk, 'undo', await this.#quota.limitOf(at, digest));
      await this.#publish(caller, staged, [at], digest, id);
      this.#parts.finishedUploads.note(id, at, digest);
    });
  }

  /**
   * Returns whether the upload was finished recently as this blob, and the blob is still present. Of an upload that another
   * process may have finished, only the blob is known. Renews its link, as HEAD does.
   */
  async #isFinished(caller: Caller, image: string, id: SessionId, digest: Digest): Promise<boolean> {
    const at = this.#at(image);
    const { metadata, runtime, finishedUploads } = this.#parts;
    const isKnown = finishedUploads.has(id, at, digest);
    if (!isKnown && metadata.shared === undefined) return false;
    const link = await metadata.link(at, digest);
    if (link === undefined || (!isKnown && runtime.now() - link.linkedAt > repeatableMs)) return false;
    if ((await this.#parts.blobs.stat(digest))?.size !== link.size) return false;
    return renewLease(this.#parts, caller, at, digest);
  }

  async cancelUpload(caller: Caller, image: string, id: SessionId): Promise<void> {
    const at = this.#at(image);
    await this.#sessions.size(at, id);
    this.#sessions.breakOff(id);
    await this.#sessions.use(at, id, (staged) => this.#sessions.end(id, staged));
  }

  async putBlob(caller: Caller, image: string, digest: Digest, source: Readable, announcedBytes = 0): Promise<void> {
    const at = this.#at(image);
    const limit = await this.#quota.limitOf(at, digest);
    if (announcedBytes > limit.maxBytes) throw limit.refuse(announcedBytes);
    await this.#parts.blobs.ensureRoom(announcedBytes);
    const staged = await stageTransient(this.#parts, 'once', algorithmOf(digest));
    try {
      await appendBounded(staged, source, Infinity, limit);
      await this.#publish(caller, staged, [at], digest);
    } catch (error) {
      await staged.discard();
      throw error;
    }
  }

  async receiveBlob(caller: Caller, source: Readable, algorithm: Algorithm, announcedBytes = 0): Promise<ReceivedBlob> {
    await this.#parts.blobs.ensureRoom(announcedBytes);
    const places = (images: readonly string[]): ImageKey[] => images.map((image) => this.#at(image));
    return receiveBlob(
      this.#parts,
      source,
      algorithm,
      (images, digest, size, task) => this.#quota.hold(caller.actor, places(images), digest, size, task),
      (images, digest, size, require) => this.#link(caller, places(images), digest, size, require),
    );
  }

  async mountBlob(caller: Caller, image: string, digest: Digest, from?: ImageKey): Promise<boolean> {
    const at = this.#at(image);
    const { metadata, blobs } = this.#parts;
    const source = await findMountSource(metadata, caller, digest, from);
    const link = source === undefined ? undefined : await metadata.link(source, digest);
    if (source === undefined || link === undefined || (await blobs.stat(digest))?.size !== link.size) return false;
    const own = await metadata.link(at, digest);
    if (own !== undefined) return renewLease(this.#parts, caller, at, digest);
    const change: Change = { type: 'blob.link', at, digest, size: link.size, when: this.#parts.runtime.now() };
    await this.#parts.leases.noteUpload(caller, at, digest);
    // If the source loses the blob in between, the mount fails without an error and the client uploads the blob.
    const isThere: Precondition = { type: 'link', at: source, digest, is: 'present' };
    return this.#quota.hold(caller.actor, [at], digest, link.size, (require) =>
      tryApplyWithin(this.#parts, [change], { durable: false, require: [isThere, ...require] }),
    );
  }

  async putManifest(
    caller: Caller,
    image: string,
    manifest: ParsedManifest,
    tags: readonly Tag[],
    { findSource, condition, override }: PutManifestOptions = {},
  ): Promise<void> {
    refuseLargeAnnotations(manifest);
    const at = this.#at(image);
    const { runtime, recent } = this.#parts;
    const immutable = keepImmutable(this.#config, image, manifest.digest);
    const isOverridden = override === true && (await this.#refusesTags(image, manifest.digest, tags));
    // Refuses before anything is stored; the guard inside the write decides.
    if (override !== true) await this.checkTags(image, manifest.digest, tags);
    const decided = await askBeforePut(this.#parts, caller, at, manifest, tags);
    const kept = override === true ? undefined : immutable;
    const guard = joinGuards([kept, condition && requireCondition(condition), decided]);
    const { sparse } = this.#config;
    const options = { tags, sparse, findSource, condition, guard, by: caller.actor, isOverridden };
    // The blobs that it names are counted already, or inside the write.
    await this.#quota.hold(caller.actor, [at], manifest.digest, manifest.bytes.length, async (require) => {
      const staged = await stageTransient(this.#parts, 'once', algorithmOf(manifest.digest));
      try {
        await staged.append(Readable.from([manifest.bytes]));
        const limits = { require, parts: this.#parts };
        const record = (): Promise<void> => recordManifest(this.#parts, at, manifest, { ...options, limits });
        await publish(this.#parts, staged, manifest.digest, record, unsynced);
      } catch (error) {
        await staged.discard();
        throw error;
      }
    });
    recent.set(manifest.digest, manifest.bytes);
    const named = manifest.references.map(({ digest }) => digest);
    this.#parts.leases.use(caller, at, named);
    runtime.emit('manifest.pushed', { at, digest: manifest.digest, tags, by: caller.actor });
  }

  async checkTags(image: string, digest: Digest, tags: readonly Tag[]): Promise<void> {
    const guard = keepImmutable(this.#config, image, digest);
    if (guard === undefined) return;
    for (const tag of tags) guard(tag, (await this.#parts.metadata.tag(this.#at(image), tag))?.digest);
  }

  deleteManifest(caller: Caller, image: string, digest: Digest, options: WriteConditions = {}): Promise<boolean> {
    return this.#deletions.deleteManifest(caller, this.#at(image), digest, options);
  }

  deleteTag(caller: Caller, image: string, tag: Tag, options: WriteConditions = {}): Promise<boolean> {
    return this.#deletions.deleteTag(caller, this.#at(image), tag, options);
  }

  deleteBlob(caller: Caller, image: string, digest: Digest): Promise<boolean> {
    return this.#deletions.deleteBlob(caller, this.#at(image), digest);
  }

  async #refusesTags(image: string, digest: Digest, tags: readonly Tag[]): Promise<boolean> {
    return this.checkTags(image, digest, tags).then(
      () => false,
      () => true,
    );
  }

  #at(image: string): ImageKey {
    return { repository: this.#config.name, image };
  }

  /** Publishes and links a blob while room for it is held. The bytes become durable when a manifest names them. */
  async #publish(
    caller: Caller,
    staged: StagedBlob,
    images: readonly ImageKey[],
    digest: Digest,
    session?: SessionId,
  ): Promise<void> {
    await this.#quota.hold(caller.actor, images, digest, staged.size, (require) =>
      publish(
        this.#parts,
        staged,
        digest,
        ({ size }) => this.#link(caller, images, digest, size, require, session),
        unsynced,
      ),
    );
  }

  /** Links without a sync: the durable write of the manifest that names the blob writes the link again. */
  async #link(
    caller: Caller,
    images: readonly ImageKey[],
    digest: Digest,
    size: number,
    limits: readonly Precondition[],
    session?: SessionId,
  ): Promise<void> {
    const { runtime, leases } = this.#parts;
    for (const at of images) await leases.noteUpload(caller, at, digest);
    const when = runtime.now();
    const changes: Change[] = images.map((at) => ({ type: 'blob.link', at, digest, size, when }));
    const require: Precondition[] = [{ type: 'bytes', digest, size }, ...limits];
    if (session !== undefined) {
      changes.push({ type: 'session.delete', id: session });
      require.push({ type: 'session', id: session, is: 'present' });
    }
    if (!(await tryApplyWithin(this.#parts, changes, { durable: false, require }))) throw await this.#conflict(session);
    for (const at of images) runtime.emit('blob.pushed', { at, digest, size, by: caller.actor });
  }

  /**
   * Explains a conflict: the repository was deleted during the push, the session ended, or the bytes are being deleted.
   */
  async #conflict(session?: SessionId): Promise<RegistryError> {
    const { metadata } = this.#parts;
    if ((await metadata.repository(this.#config.name)) === undefined) return repositoryGone();
    if (session !== undefined && (await metadata.session(session)) === undefined) {
      return new RegistryError('BLOB_UPLOAD_UNKNOWN');
    }
    return busy();
  }
}
