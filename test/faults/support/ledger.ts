import { composeImage, content, jsonContent, mediaTypes, type Image } from '../../../e2e-docker/support/images.js';
import { seededRandom } from '../../../e2e-docker/support/random.js';
import type { PatientClient } from './patient-client.js';

/** An acknowledged push, with its origin for the report of a loss. */
export interface KeptImage {
  readonly name: string;
  readonly tag: string;
  readonly image: Image;
  readonly origin: string;
}

/** A reference whose deletion was acknowledged and that must stay unknown. */
export interface DeletedReference {
  readonly name: string;
  readonly reference: string;
  readonly origin: string;
}

/** Creates an image with a unique config and layer. */
export function imageOf(seed: number, layerBytes: number): Image {
  const random = seededRandom(seed * 7919 + 1);
  const layer = content(mediaTypes.ociLayerGzip, random.bytes(layerBytes));
  return composeImage(jsonContent(mediaTypes.ociConfig, { created: seed, os: 'linux' }), [layer]);
}

/** Records what the registry acknowledged, to verify it after each restart. */
export class Ledger {
  readonly kept: KeptImage[] = [];
  readonly deleted: DeletedReference[] = [];
  /** While true, nothing is recorded: answers after the power cut do not count. */
  isClosed = false;

  keep(image: KeptImage): void {
    if (!this.isClosed) this.kept.push(image);
  }

  drop(reference: DeletedReference): void {
    if (!this.isClosed) this.deleted.push(reference);
  }

  /**
   * Verifies all entries from `since` on, by position. Rejects with everything that is missing or has reappeared,
   * oldest first.
   */
  async verify(client: PatientClient, occasion: string, since = { kept: 0, deleted: 0 }): Promise<void> {
    const wrong: string[] = [];
    const note = (what: string) => (error: Error) => void wrong.push(`${what}: ${error.message}`);
    for (const { name, tag, image, origin } of this.kept.slice(since.kept)) {
      await client.pull(name, tag, image).catch(note(`lost: ${name}:${tag} (${origin})`));
    }
    for (const { name, reference, origin } of this.deleted.slice(since.deleted)) {
      await client.expectAbsent(name, reference).catch(note(`came back: ${name} ${reference} (${origin})`));
    }
    if (wrong.length === 0) return;
    const total = this.kept.length + this.deleted.length;
    throw new Error(`${occasion}: ${wrong.length} of ${total} are wrong:\n${wrong.slice(0, 5).join('\n')}`);
  }

  get length(): { readonly kept: number; readonly deleted: number } {
    return { kept: this.kept.length, deleted: this.deleted.length };
  }
}

/** Pushes an image and records it. */
export async function pushImage(
  client: PatientClient,
  ledger: Ledger,
  name: string,
  tag: string,
  image: Image,
): Promise<void> {
  for (const blob of [image.config, ...image.layers]) await client.pushBlob(name, blob);
  await client.putManifest('PUT manifest', name, tag, image.manifest);
  ledger.keep({ name, tag, image, origin: 'pushed' });
}

/**
 * Runs every kind of change of a client: an image with two tags of which one is deleted, an image that is deleted by
 * digest with its blob, a cancelled upload, and garbage collection. Records what was acknowledged.
 */
export async function runFlow(
  client: PatientClient,
  ledger: Ledger,
  number: number,
  origin: string,
  name = `local/sweep/i${number % 16}`,
): Promise<void> {
  const kept = imageOf(2 * number, 6000);
  const gone = imageOf(2 * number + 1, 3000);
  const [goneLayer] = gone.layers;

  for (const blob of [kept.config, ...kept.layers]) await client.pushBlob(name, blob);
  await client.putManifest('PUT manifest', name, `v${number}`, kept.manifest);
  ledger.keep({ name, tag: `v${number}`, image: kept, origin });
  await client.putManifest('PUT second tag', name, `w${number}`, kept.manifest);

  for (const blob of [gone.config, ...gone.layers]) await client.pushBlob(name, blob);
  await client.putManifest('PUT manifest to delete', name, `x${number}`, gone.manifest);
  await client.delete('DELETE tag', `/v2/${name}/manifests/w${number}`);
  ledger.drop({ name, reference: `w${number}`, origin });
  await client.delete('DELETE manifest', `/v2/${name}/manifests/${gone.manifest.digest}`);
  ledger.drop({ name, reference: gone.manifest.digest, origin });
  ledger.drop({ name, reference: `x${number}`, origin });
  if (goneLayer !== undefined) await client.delete('DELETE blob', `/v2/${name}/blobs/${goneLayer.digest}`);
  await client.cancelUpload(name, Buffer.alloc(500, 1));
  await client.collect();
  await client.pull(name, `v${number}`, kept);
}
