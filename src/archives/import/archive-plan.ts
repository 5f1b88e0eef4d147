import type { ReceivedBlob } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import type { ParsedManifest } from '../../protocol/manifests/manifest.js';

/** Maximum nesting of indexes, deeper than any real image. */
export const maxIndexDepth = 8;

/** An image in an archive: a manifest, or an index with everything below it. */
export interface PlannedImage {
  /** Unparsed names from the archive: `team/app:1`, `docker.io/library/app:1`, or only a tag. */
  readonly names: readonly string[];
  readonly top: PlannedManifest;
  /** The top and everything below it, each once, and references before the manifests that name them. */
  readonly parts: readonly PlannedManifest[];
}

/** A manifest from the archive, or created for its content, with those of its parts that the archive has. */
export interface PlannedManifest {
  readonly manifest: ParsedManifest;
  readonly children: readonly PlannedManifest[];
  readonly blobs: ReadonlyMap<Digest, ReceivedBlob>;
  /** References that the archive lacks. */
  readonly lacks: readonly Digest[];
  /** Its platforms according to an index or a config. */
  readonly platforms: readonly string[];
}
