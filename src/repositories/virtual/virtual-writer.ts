import type { Readable } from 'node:stream';
import type {
  Caller,
  FindSource,
  ReceivedBlob,
  RepositoryWriter,
  UploadChunk,
  UploadStatus,
} from '../../ports/repository.js';
import type { ImageKey } from '../../ports/images.js';
import type { Sparse } from '../../protocol/settings/repository-config.js';
import type { Algorithm, Digest } from '../../protocol/digest.js';
import type { ParsedManifest } from '../../protocol/manifest.js';
import type { SessionId, Tag } from '../../protocol/names.js';

type FindHeld = (caller: Caller, image: string, digest: Digest) => Promise<{ readonly at: ImageKey } | undefined>;

/** Writes through a virtual repository to its push target. A pushed manifest links blobs that other members hold. */
export class VirtualWriter implements RepositoryWriter {
  readonly #target: RepositoryWriter;
  readonly #findHeld: FindHeld;

  constructor(target: RepositoryWriter, findHeld: FindHeld) {
    this.#target = target;
    this.#findHeld = findHeld;
  }

  get sparse(): Sparse {
    return this.#target.sparse;
  }

  startUpload(image: string, algorithm: Algorithm): Promise<UploadStatus> {
    return this.#target.startUpload(image, algorithm);
  }

  uploadStatus(image: string, id: SessionId): Promise<UploadStatus> {
    return this.#target.uploadStatus(image, id);
  }

  appendUpload(image: string, id: SessionId, chunk: UploadChunk): Promise<UploadStatus> {
    return this.#target.appendUpload(image, id, chunk);
  }

  completeUpload(image: string, id: SessionId, digest: Digest, chunk: UploadChunk): Promise<void> {
    return this.#target.completeUpload(image, id, digest, chunk);
  }

  cancelUpload(image: string, id: SessionId): Promise<void> {
    return this.#target.cancelUpload(image, id);
  }

  putBlob(image: string, digest: Digest, source: Readable, announcedBytes?: number): Promise<void> {
    return this.#target.putBlob(image, digest, source, announcedBytes);
  }

  receiveBlob(source: Readable, algorithm: Algorithm, announcedBytes?: number): Promise<ReceivedBlob> {
    return this.#target.receiveBlob(source, algorithm, announcedBytes);
  }

  mountBlob(caller: Caller, image: string, digest: Digest, from?: ImageKey): Promise<boolean> {
    return this.#target.mountBlob(caller, image, digest, from);
  }

  putManifest(
    image: string,
    manifest: ParsedManifest,
    tags: readonly Tag[],
    { caller }: { readonly caller?: Caller } = {},
  ): Promise<void> {
    const findSource: FindSource = async (digest) =>
      caller === undefined ? undefined : (await this.#findHeld(caller, image, digest))?.at;
    return this.#target.putManifest(image, manifest, tags, { findSource });
  }

  deleteManifest(image: string, digest: Digest): Promise<boolean> {
    return this.#target.deleteManifest(image, digest);
  }

  deleteTag(image: string, tag: Tag): Promise<boolean> {
    return this.#target.deleteTag(image, tag);
  }

  deleteBlob(image: string, digest: Digest): Promise<boolean> {
    return this.#target.deleteBlob(image, digest);
  }
}
