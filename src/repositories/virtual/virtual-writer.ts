import type { Readable } from 'node:stream';
import type {
  Caller,
  FindSource,
  PutManifestOptions,
  ReceivedBlob,
  RepositoryWriter,
  UploadChunk,
  UploadStatus,
  WriteConditions,
} from '../../ports/repository.js';
import type { ImageEditor } from '../../ports/editing.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Sparse } from '../../protocol/settings/repository-config.js';
import type { Algorithm, Digest } from '../../protocol/digest.js';
import type { ParsedManifest } from '../../protocol/manifests/manifest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import { through } from './virtual-editor.js';

type FindHeld = (caller: Caller, image: string, digest: Digest) => Promise<{ readonly at: ImageKey } | undefined>;

/** Writes through a virtual repository to its push target. A pushed manifest links blobs that other members hold. */
export class VirtualWriter implements RepositoryWriter {
  readonly #name: string;
  readonly #target: RepositoryWriter;
  readonly #findHeld: FindHeld;
  readonly editor: ImageEditor;

  constructor(name: string, target: RepositoryWriter, findHeld: FindHeld, editor: ImageEditor) {
    this.#name = name;
    this.#target = target;
    this.#findHeld = findHeld;
    this.editor = editor;
  }

  get sparse(): Sparse {
    return this.#target.sparse;
  }

  startUpload(caller: Caller, image: string, algorithm: Algorithm): Promise<UploadStatus> {
    return this.#target.startUpload(caller, image, algorithm);
  }

  uploadStatus(caller: Caller, image: string, id: SessionId): Promise<UploadStatus> {
    return this.#target.uploadStatus(caller, image, id);
  }

  appendUpload(caller: Caller, image: string, id: SessionId, chunk: UploadChunk): Promise<UploadStatus> {
    return this.#target.appendUpload(caller, image, id, chunk);
  }

  completeUpload(caller: Caller, image: string, id: SessionId, digest: Digest, chunk: UploadChunk): Promise<void> {
    return this.#target.completeUpload(caller, image, id, digest, chunk);
  }

  cancelUpload(caller: Caller, image: string, id: SessionId): Promise<void> {
    return this.#target.cancelUpload(caller, image, id);
  }

  putBlob(caller: Caller, image: string, digest: Digest, source: Readable, announcedBytes?: number): Promise<void> {
    return this.#target.putBlob(caller, image, digest, source, announcedBytes);
  }

  receiveBlob(caller: Caller, source: Readable, algorithm: Algorithm, announcedBytes?: number): Promise<ReceivedBlob> {
    return this.#target.receiveBlob(caller, source, algorithm, announcedBytes);
  }

  mountBlob(caller: Caller, image: string, digest: Digest, from?: ImageKey): Promise<boolean> {
    return this.#target.mountBlob(caller, image, digest, from);
  }

  putManifest(
    caller: Caller,
    image: string,
    manifest: ParsedManifest,
    tags: readonly Tag[],
    options?: PutManifestOptions,
  ): Promise<void> {
    const findSource: FindSource = async (digest) => (await this.#findHeld(caller, image, digest))?.at;
    return this.#target.putManifest(through(caller, this.#name, image), image, manifest, tags, {
      ...options,
      findSource,
    });
  }

  checkTags(image: string, digest: Digest, tags: readonly Tag[]): Promise<void> {
    return this.#target.checkTags(image, digest, tags);
  }

  deleteManifest(caller: Caller, image: string, digest: Digest, options?: WriteConditions): Promise<boolean> {
    return this.#target.deleteManifest(through(caller, this.#name, image), image, digest, options);
  }

  deleteTag(caller: Caller, image: string, tag: Tag, options?: WriteConditions): Promise<boolean> {
    return this.#target.deleteTag(through(caller, this.#name, image), image, tag, options);
  }

  deleteBlob(caller: Caller, image: string, digest: Digest): Promise<boolean> {
    return this.#target.deleteBlob(through(caller, this.#name, image), image, digest);
  }
}
