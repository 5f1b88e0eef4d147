import {
  describeBytes,
  digest,
  manifestOf,
  someBytes,
  types,
  type Descriptor,
  type Manifest,
} from '../content/content.js';

/** An image that was added: its manifest, config and layers. */
export interface FaultImage {
  readonly manifest: Manifest;
  readonly config: Buffer;
  readonly layers: readonly { readonly digest: string; readonly bytes: Buffer }[];
}

/** The content of the registry. Blobs belong to a name, as in any registry. */
export class FaultImages {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, Manifest>();
  readonly tags = new Map<string, string>();
  /** Items per page of lists. */
  pageSize = 1000;
  /** Whether the registry has a referrers API. */
  hasReferrers = true;
  /** Whether the registry lists its images. */
  hasCatalog = true;

  /** Adds a blob under a name; returns its digest. */
  addBlob(name: string, bytes: Buffer): string {
    const key = digest(bytes);
    this.blobs.set(`${name}@${key}`, bytes);
    return key;
  }

  /** Adds a manifest under a name, by its digests and by tags. */
  addManifest(name: string, manifest: Manifest, ...tags: string[]): Manifest {
    this.manifests.set(`${name}@${manifest.digest}`, manifest);
    this.manifests.set(`${name}@${manifest.sha512}`, manifest);
    for (const tag of tags) this.tags.set(`${name}:${tag}`, manifest.digest);
    return manifest;
  }

  /** Creates an image with layers of these sizes, adds it and tags it. Its content depends on `seed`. */
  addImage(name: string, tag: string, layerSizes: readonly number[] = [1000], seed = `${name}:${tag}`): FaultImage {
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', seed }));
    const layers = layerSizes.map((size, i) => someBytes(`${seed}/${i}`, size));
    this.addBlob(name, config);
    for (const layer of layers) this.addBlob(name, layer);
    const manifest = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, config),
      layers: layers.map((layer) => describeBytes(types.ociLayer, layer)),
    });
    this.addManifest(name, manifest, tag);
    return { manifest, config, layers: layers.map((bytes) => ({ digest: digest(bytes), bytes })) };
  }

  /** Returns a manifest by tag or digest. */
  manifest(name: string, reference: string): Manifest | undefined {
    const key = reference.includes(':') ? reference : this.tags.get(`${name}:${reference}`);
    return this.manifests.get(`${name}@${key ?? ''}`);
  }

  /** Returns the names of all images, in byte order. */
  names(): string[] {
    return [...new Set([...this.manifests.keys()].map((key) => key.slice(0, key.indexOf('@'))))].sort();
  }

  /** Returns the tags of a name. */
  tagsOf(name: string): string[] {
    return [...this.tags.keys()].flatMap((key) => (key.startsWith(`${name}:`) ? [key.slice(name.length + 1)] : []));
  }

  /** Returns the referrers of a subject. */
  referrersOf(name: string, subject: string): Descriptor[] {
    const found: Descriptor[] = [];
    for (const [key, { type, bytes, digest: own }] of this.manifests) {
      const json = JSON.parse(bytes.toString()) as { subject?: { digest: string } } & Record<string, unknown>;
      if (key !== `${name}@${own}` || json.subject?.digest !== subject) continue;
      const { artifactType, annotations } = json;
      found.push({ mediaType: type, digest: own, size: bytes.length, artifactType, annotations });
    }
    return found;
  }
}
