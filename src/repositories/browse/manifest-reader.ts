import { LRUCache } from 'lru-cache';
import type { ImageKey, ManifestRecord } from '../../ports/metadata/images.js';
import type { Digest } from '../../protocol/digest.js';
import { maxManifestBytes } from '../../protocol/manifests/manifest.js';
import { viewManifest, type ManifestView } from '../../protocol/manifests/manifest-view.js';
import { readBytes } from '../../util/streams/streams.js';
import type { BrowseParts } from './browse-parts.js';

/** The number of indexes whose platforms are remembered. The platforms of a digest never change. */
const maxRemembered = 5000;

/** Reads the bytes of manifests for people. Keeps no bytes, so that browsing does not displace what clients pull. */
export class ManifestReader {
  readonly #parts: BrowseParts;
  readonly #platforms = new LRUCache<Digest, readonly string[]>({
    maxSize: maxRemembered,
    sizeCalculation: () => 1,
  });

  constructor(parts: BrowseParts) {
    this.#parts = parts;
  }

  /** Returns the bytes of a manifest or a small blob. `undefined`: they are missing, damaged or too large. */
  async read(digest: Digest, size: number): Promise<Buffer | undefined> {
    if (size > maxManifestBytes) return undefined;
    const content = await this.#parts.blobs.read(digest);
    return content?.size === size ? readBytes(content) : undefined;
  }

  /** Returns the parts of a manifest; `undefined` if its bytes are missing or damaged. */
  async view({ digest, size }: Pick<ManifestRecord, 'digest' | 'size'>): Promise<ManifestView | undefined> {
    const bytes = await this.read(digest, size);
    if (bytes === undefined) return undefined;
    try {
      return viewManifest(bytes);
    } catch {
      // Damaged content: the scrub and the pull report it.
      return undefined;
    }
  }

  /** Returns the platforms that an index lists, each once. */
  async platforms(index: ManifestRecord): Promise<readonly string[]> {
    const known = this.#platforms.get(index.digest);
    if (known !== undefined) return known;
    const view = await this.view(index);
    if (view === undefined) return [];
    const found = [...new Set(view.children.flatMap(({ platform }) => platform ?? []))];
    this.#platforms.set(index.digest, found);
    return found;
  }

  /** Returns the size of a manifest with its content; of an index, with the stored manifests that it lists. */
  async bytes(at: ImageKey, record: ManifestRecord, isIndex: boolean): Promise<number> {
    const own = record.size + record.contentBytes;
    if (!isIndex) return own;
    const children = await Promise.all(record.references.map((one) => this.#parts.metadata.manifest(at, one)));
    return children.reduce((sum, child) => sum + (child === undefined ? 0 : child.size + child.contentBytes), own);
  }
}
