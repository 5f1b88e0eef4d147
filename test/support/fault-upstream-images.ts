import { describeBytes, digest, manifestOf, someBytes, types, type Descriptor, type Manifest } from './content.js';

/** An image as it was put in: a manifest, its config and its layers. */
export interface FaultImage {
  readonly manifest: Manifest;
  readonly config: Buffer;
  readonly layers: readonly { readonly digest: string; readonly bytes: Buffer }[];
}

/** What the registry holds. Blobs are per name, as in any registry. */
export class FaultImages {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, Manifest>();
  readonly tags = new Map<string, string>();
  /** Lists have pages of this many items. */
  pageSize = 1000;
  /** Whether there is a referrers API. */
  hasReferrers = true;

  /** Puts a blob under a name; returns its digest. */
  addBlob(name: string, bytes: Buffer): string {
    const key = digest(bytes);
    this.blobs.set(`${name}@${key}`, bytes);
    return key;
  }

  /** Puts a manifest under a name, by its digests and by tags. */
  addManifest(name: string, manifest: Manifest, ...tags: string[]): Manifest {
    this.manifests.set(`${name}@${manifest.digest}`, manifest);
    this.manifests.set(`${name}@${manifest.sha512}`, manifest);
    for (const tag of tags) this.tags.set(`${name}:${tag}`, manifest.digest);
    return manifest;
  }

  /** Makes an image with layers of these sizes, puts all of it in and tags it; another `seed` makes other bytes. */
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

  manifest(name: string, reference: string): Manifest | undefined {
    const key = reference.includes(':') ? reference : this.tags.get(`${name}:${reference}`);
    return this.manifests.get(`${name}@${key ?? ''}`);
  }

  tagsOf(name: string): string[] {
    return [...this.tags.keys()].flatMap((key) => (key.startsWith(`${name}:`) ? [key.slice(name.length + 1)] : []));
  }

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
