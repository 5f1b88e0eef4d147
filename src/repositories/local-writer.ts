import { Readable } from 'node:stream';
import {
  ConflictError,
  type Caller,
  type Change,
  type ImageKey,
  type ManifestRecord,
  type MetadataStore,
  type Precondition,
  type RepositoryConfig,
  type RepositoryWriter,
  type UploadChunk,
  type UploadStatus,
} from '../ports.js';
import { algorithmOf, isAlgorithm, parseDigest, type Algorithm, type Digest } from '../protocol/digest.js';
import { RegistryError } from '../protocol/errors.js';
import type { ManifestReference, ParsedManifest } from '../protocol/manifest.js';
import type { SessionId, Tag } from '../protocol/names.js';
import type { LocalParts } from './local.js';
import { publish, receiveChunk, UploadSessions } from './upload-session.js';

/** How many images an anonymous mount looks at for one that the caller may pull. */
const mountSourcesMost = 1000;
/** How often a manifest is tried again when the collector drops a link that it is about to name. */
const conflictRetries = 5;

/** What can be written to a local repository. Content is durable before the index names it. */
export class LocalWriter implements RepositoryWriter {
  readonly #config: RepositoryConfig;
  readonly #parts: LocalParts;
  readonly #sessions: UploadSessions;

  constructor(config: RepositoryConfig, parts: LocalParts) {
    this.#config = config;
    this.#parts = parts;
    this.#sessions = new UploadSessions(parts);
  }

  async startUpload(image: string, algorithm: Algorithm): Promise<UploadStatus> {
    const { id } = await this.#ifPresent(this.#sessions.start(this.#at(image), algorithm));
    return { id, size: 0 };
  }

  async uploadStatus(image: string, id: SessionId): Promise<UploadStatus> {
    return { id, size: await this.#sessions.size(this.#at(image), id) };
  }

  async appendUpload(image: string, id: SessionId, chunk: UploadChunk): Promise<UploadStatus> {
    return this.#sessions.use(this.#at(image), id, async (staged) => {
      await receiveChunk(staged, chunk, 'keep');
      return { id, size: staged.size };
    });
  }

  async completeUpload(image: string, id: SessionId, digest: Digest, chunk: UploadChunk): Promise<void> {
    const at = this.#at(image);
    await this.#sessions.use(at, id, async (staged) => {
      await receiveChunk(staged, chunk, 'undo');
      try {
        await publish(this.#parts, staged, digest, ({ size }) =>
          this.#link(at, digest, size, [{ type: 'session.delete', id }]),
        );
      } catch (error) {
        // Bytes with another digest will not get this one by more of them: the session ends (end-6).
        if (error instanceof RegistryError && error.code === 'DIGEST_INVALID') await this.#sessions.end(id, staged);
        throw error;
      }
    });
  }

  async cancelUpload(image: string, id: SessionId): Promise<void> {
    await this.#sessions.use(this.#at(image), id, (staged) => this.#sessions.end(id, staged));
  }

  async putBlob(image: string, digest: Digest, source: Readable): Promise<void> {
    const at = this.#at(image);
    const staged = await this.#parts.blobs.stage(this.#parts.runtime.newId(), { algorithm: algorithmOf(digest) });
    try {
      await staged.append(source);
      await publish(this.#parts, staged, digest, ({ size }) => this.#link(at, digest, size, []));
    } catch (error) {
      await staged.discard();
      throw error;
    }
  }

  async mountBlob(caller: Caller, image: string, digest: Digest, from?: ImageKey): Promise<boolean> {
    const { metadata, blobs, runtime } = this.#parts;
    const source = await this.#findMountSource(caller, digest, from);
    const link = source === undefined ? undefined : await metadata.link(source, digest);
    if (source === undefined || link === undefined || (await blobs.stat(digest))?.size !== link.size) return false;
    const change: Change = { type: 'blob.link', at: this.#at(image), digest, size: link.size, when: runtime.now() };
    try {
      await metadata.apply([change], {
        durable: false,
        require: [{ type: 'link', at: source, digest, is: 'present' }],
      });
      return true;
    } catch (error) {
      // The source lost the blob in between: that is a mount which cannot be, and no error.
      if (error instanceof ConflictError) return false;
      throw error;
    }
  }

  async putManifest(image: string, manifest: ParsedManifest, tags: readonly Tag[]): Promise<void> {
    const at = this.#at(image);
    const { blobs, runtime, manifests } = this.#parts;
    if (!this.#config.sparse) await this.#refuseMissing(at, manifest.references);
    const staged = await blobs.stage(runtime.newId(), { algorithm: algorithmOf(manifest.digest) });
    try {
      await staged.append(Readable.from([manifest.bytes]));
      await publish(this.#parts, staged, manifest.digest, () => this.#recordManifest(at, manifest, tags));
    } catch (error) {
      await staged.discard();
      throw error;
    }
    manifests.set(manifest.digest, manifest.bytes);
    runtime.emit('manifest.pushed', { at, digest: manifest.digest, tags });
  }

  async deleteManifest(image: string, digest: Digest): Promise<boolean> {
    const at = this.#at(image);
    const change: Change = { type: 'manifest.delete', at, digest, when: this.#parts.runtime.now() };
    const deleted = await this.#applyIf({ type: 'manifest', at, digest, is: 'present' }, change);
    if (deleted) this.#parts.runtime.emit('manifest.deleted', { at, digest });
    return deleted;
  }

  async deleteTag(image: string, tag: Tag): Promise<boolean> {
    const at = this.#at(image);
    const deleted = await this.#applyIf({ type: 'tag', at, tag, is: 'present' }, { type: 'tag.delete', at, tag });
    if (deleted) this.#parts.runtime.emit('tag.deleted', { at, tag });
    return deleted;
  }

  async deleteBlob(image: string, digest: Digest): Promise<boolean> {
    const at = this.#at(image);
    const change: Change = { type: 'blob.unlink', at, digest, when: this.#parts.runtime.now() };
    const deleted = await this.#applyIf({ type: 'link', at, digest, is: 'present' }, change);
    if (deleted) this.#parts.runtime.emit('blob.deleted', { at, digest });
    return deleted;
  }

  #at(image: string): ImageKey {
    return { repository: this.#config.name, image };
  }

  /** Not synced: the durable write of the manifest that names the blob writes its link again (design: durability). */
  async #link(at: ImageKey, digest: Digest, size: number, alongside: readonly Change[]): Promise<void> {
    const { metadata, runtime } = this.#parts;
    const link: Change = { type: 'blob.link', at, digest, size, when: runtime.now() };
    await this.#ifPresent(metadata.apply([link, ...alongside], { durable: false }));
    runtime.emit('blob.pushed', { at, digest, size });
  }

  async #recordManifest(at: ImageKey, manifest: ParsedManifest, tags: readonly Tag[]): Promise<void> {
    const { metadata, runtime } = this.#parts;
    for (let attempt = 0; ; attempt++) {
      const when = runtime.now();
      const { changes, require } = await relink(metadata, at, manifest.references, when);
      try {
        await metadata.apply(
          [
            { type: 'manifest.put', at, manifest: toRecord(manifest, when) },
            // After the manifest that names them, so that they leave no candidates.
            ...changes,
            ...tags.map(
              (name): Change => ({
                type: 'tag.put',
                at,
                tag: { name, digest: manifest.digest, updatedAt: when },
              }),
            ),
          ],
          { durable: true, require },
        );
        return;
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        if ((await metadata.repository(at.repository)) === undefined) throw repositoryGone(error);
        if (attempt === conflictRetries) throw error;
      }
    }
  }

  async #refuseMissing(at: ImageKey, references: readonly ManifestReference[]): Promise<void> {
    const { metadata } = this.#parts;
    const missing: Digest[] = [];
    for (const { digest, kind, optional } of references) {
      if (optional || (await metadata.link(at, digest)) !== undefined) continue;
      if (kind === 'either' && (await metadata.manifest(at, digest)) !== undefined) continue;
      missing.push(digest);
    }
    if (missing.length > 0) throw new RegistryError('MANIFEST_BLOB_UNKNOWN', { detail: { missing } });
  }

  async #findMountSource(caller: Caller, digest: Digest, from: ImageKey | undefined): Promise<ImageKey | undefined> {
    if (from !== undefined) return (await caller.mayPull(from)) ? from : undefined;
    const { items } = await this.#parts.metadata.imagesLinking(digest, { limit: mountSourcesMost });
    for (const at of items) if (await caller.mayPull(at)) return at;
    return undefined;
  }

  async #applyIf(precondition: Precondition, change: Change): Promise<boolean> {
    try {
      await this.#parts.metadata.apply([change], { durable: true, require: [precondition] });
      return true;
    } catch (error) {
      if (error instanceof ConflictError) return false;
      throw error;
    }
  }

  /** A repository may be deleted while something is pushed to it. */
  async #ifPresent<T>(write: Promise<T>): Promise<T> {
    try {
      return await write;
    } catch (error) {
      throw error instanceof ConflictError ? repositoryGone(error) : error;
    }
  }
}

/** The links of the named blobs that are there, written again: their batch is durable, their first one was not. */
async function relink(
  metadata: MetadataStore,
  at: ImageKey,
  references: readonly ManifestReference[],
  when: number,
): Promise<{ changes: Change[]; require: Precondition[] }> {
  const changes: Change[] = [];
  const require: Precondition[] = [];
  for (const { digest } of references) {
    const link = await metadata.link(at, digest);
    if (link === undefined) continue;
    changes.push({ type: 'blob.link', at, digest, size: link.size, when });
    require.push({ type: 'link', at, digest, is: 'present' });
  }
  return { changes, require };
}

function toRecord(manifest: ParsedManifest, pushedAt: number): ManifestRecord {
  const { digest, mediaType, bytes, artifactType, annotations, subject, references, contentBytes } = manifest;
  const known =
    subject !== undefined && isAlgorithm(subject.slice(0, subject.indexOf(':'))) ? parseDigest(subject) : undefined;
  return {
    digest,
    mediaType,
    size: bytes.length,
    references: references.map((reference) => reference.digest),
    contentBytes,
    pushedAt,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(known === undefined ? {} : { subject: known }),
    ...(known === undefined || annotations === undefined ? {} : { annotations }),
  };
}

function repositoryGone(cause: ConflictError): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message: 'the repository was deleted meanwhile', cause });
}
