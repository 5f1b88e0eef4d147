/** Image archives: OCI image layouts and the output of `docker save`. */
import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { BlobContent } from './bytes.js';
import type { ImageKey, ManifestContent } from './metadata/images.js';
import type { Caller, Repository } from './repository.js';

/** Imports and exports images as a tar archive: an OCI image layout or the output of `docker save`. */
export interface Archives {
  /**
   * Reads an archive, plain or compressed, in constant memory and stores its images. Publishes nothing before
   * everything is verified; then publishes blobs, manifests and tags, in this order.
   * @throws RegistryError ARCHIVE_INVALID, DIGEST_INVALID, MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, SIZE_INVALID, and
   * the errors of `permit`. Then nothing is stored, and the caller must drain an unfinished source.
   */
  import(repository: Repository, source: Readable, request: ImportRequest): Promise<ImportReport>;
  /**
   * Returns images as an OCI layout that `docker load` accepts too. The same images always give the same bytes. Checks
   * that all content is present before it resolves. `writeTo` rejects when bytes do not match their digest.
   * @throws RegistryError MANIFEST_UNKNOWN, BLOB_UNKNOWN.
   */
  export(repository: Repository, request: ExportRequest): Promise<BlobContent>;
}

export interface ImportRequest {
  readonly caller: Caller;
  /** Overrides the image names in the archive. */
  readonly image?: string | undefined;
  /** Override the tags in the archive; for an archive of one image. */
  readonly tags: readonly Tag[];
  /** Called for each image before anything becomes visible. @throws to refuse the import. */
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
  /** `os/architecture[/variant]`, from the index or the config. */
  readonly platforms: readonly string[];
  /** The total size of manifests, configs and layers; each digest counts once. */
  readonly bytes: number;
}

/** Counts of items with a digest; each digest counts once. */
export interface Counted {
  readonly total: number;
  readonly bytes: number;
  /** Items that were already present in every image that they belong to. */
  readonly presentTotal: number;
  readonly presentBytes: number;
}

export interface ExportRequest {
  readonly caller: Caller;
  readonly names: readonly ExportName[];
  /** Finds a manifest of the image to export, and may refuse it. Absent: all of the repository. */
  readonly pull?: ((image: string, reference: Reference) => Promise<ManifestContent | undefined>) | undefined;
  /** Exports only this platform of an index: `os/architecture[/variant]`. */
  readonly platform?: string | undefined;
}

export interface ExportName {
  readonly image: string;
  readonly reference: Reference;
  /** The name in the archive, `name:tag`. @default `<repository>/<image>:<tag>` */
  readonly as?: string | undefined;
}
