/** Image archives: OCI image layouts and the output of `docker save`. */
import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { BlobContent } from './bytes.js';
import type { ImageKey } from './images.js';
import type { Caller, Repository } from './repository.js';

/** Images as one file: what `docker save` writes, or an OCI image layout in a tar. */
export interface Archives {
  /**
   * Reads an archive, plain or compressed, in constant memory, and puts what it holds into the repository: content before
   * manifests before tags, and nothing before all of it was verified.
   * @throws RegistryError ARCHIVE_INVALID, DIGEST_INVALID, MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, SIZE_INVALID, and what
   * `permit` throws; then nothing is left of it, and a source that is not over is left for the caller to drain.
   */
  import(repository: Repository, source: Readable, request: ImportRequest): Promise<ImportReport>;
  /**
   * Images as an OCI layout that `docker load` takes too; the same images always give the same bytes. All is known to be
   * here before this resolves; bytes that differ from their digest make `writeTo` reject.
   * @throws RegistryError MANIFEST_UNKNOWN, BLOB_UNKNOWN.
   */
  export(repository: Repository, request: ExportRequest): Promise<BlobContent>;
}

export interface ImportRequest {
  readonly caller: Caller;
  /** Where it all goes, instead of where the archive says. */
  readonly image?: string | undefined;
  /** Instead of those that the archive says; for one image only. */
  readonly tags: readonly Tag[];
  /** Asked for each image before anything is visible. Throws what refuses. */
  permit(at: ImageKey): Promise<void>;
}

export interface ImportReport {
  readonly images: readonly ImportedImage[];
  readonly manifests: Counted;
  readonly blobs: Counted;
}

export interface ImportedImage {
  readonly image: string;
  readonly tags: readonly Tag[];
  readonly digest: Digest;
  readonly mediaType: string;
  /** `os/architecture[/variant]`, as its index or its config says. */
  readonly platforms: readonly string[];
  /** Its manifests, configs and layers, each digest once. */
  readonly bytes: number;
}

/** Of things with a digest, each once. */
export interface Counted {
  readonly total: number;
  readonly bytes: number;
  /** What every image that it belongs to had before. */
  readonly presentTotal: number;
  readonly presentBytes: number;
}

export interface ExportRequest {
  readonly caller: Caller;
  readonly names: readonly ExportName[];
  /** Of an index, only what fits: `os/architecture[/variant]`. */
  readonly platform?: string | undefined;
}

export interface ExportName {
  readonly image: string;
  readonly reference: Reference;
  /** What it is called in the archive, `name:tag`; by default `<repository>/<image>:<tag>`. */
  readonly as?: string | undefined;
}
