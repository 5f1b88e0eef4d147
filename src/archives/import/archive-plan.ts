import type { ReceivedBlob } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import type { ParsedManifest } from '../../protocol/manifest.js';

/** An index in an index in an index: nobody needs more. */
export const maxIndexDepth = 8;

/** An image of an archive: a manifest, or an index with all that is below it. */
export interface PlannedImage {
  /** As the archive has them, not read yet: `team/app:1`, `docker.io/library/app:1`, or a tag alone. */
  readonly names: readonly string[];
  readonly top: PlannedManifest;
  /** The top and all below it, each once and what is named before what names it. */
  readonly parts: readonly PlannedManifest[];
}

/** A manifest that the archive has, or that is made for what it has, with the parts of it that are there. */
export interface PlannedManifest {
  readonly manifest: ParsedManifest;
  readonly children: readonly PlannedManifest[];
  readonly blobs: ReadonlyMap<Digest, ReceivedBlob>;
  /** What it names and the archive lacks. */
  readonly lacks: readonly Digest[];
  /** What it runs on, as an index or a config says. */
  readonly platforms: readonly string[];
}
