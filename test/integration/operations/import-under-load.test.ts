import { afterEach, describe, expect, it } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { Client } from '../../support/clients/client.js';
import { runJob } from '../../support/clients/jobs.js';
import { complete, ImportScene, manyImages } from '../../support/migration/import-scene.js';
import { pullsCompletely, pushSmallImage, type PushedImage } from '../../support/storage/backup-scene.js';

const names = ['app0', 'app1', 'app2', 'app3'];
const imported = 24;
/** Pushed to the old registry long ago, so that a push here is newer. */
const longAgo = 1_600_000_000_000;

let scene: ImportScene;
afterEach(() => scene.dispose());

/** Clients that push, pull and delete images of the repository that is imported into, and images of another one. */
class Load {
  /** What the registry acknowledged last, by name and tag. */
  readonly acknowledged = new Map<string, PushedImage>();
  readonly failures: string[] = [];
  readonly #stop = new AbortController();
  readonly #url: string;
  readonly #working: Promise<unknown>[];

  constructor(url: string, count: number) {
    this.#url = url;
    this.#working = [...Array.from({ length: count }, (_, i) => this.#push(i)), this.#collect()];
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#working);
  }

  async #push(i: number): Promise<void> {
    const client = new Client(this.#url);
    for (let round = 0; !this.#stop.signal.aborted; round++) {
      // One of the imported tags, a tag of its own beside them, and an image of another repository.
      const places = [
        [`local/${names[i % names.length]}`, `t${i}`],
        [`local/${names[i % names.length]}`, `mine-${i}`],
        [`other/app${i}`, `r${round}`],
      ] as const;
      for (const [name, tag] of places) {
        const image = await pushSmallImage(client, name, tag, 1000 + round);
        const before = this.acknowledged.get(`${name}:${tag}`);
        this.acknowledged.set(`${name}:${tag}`, image);
        if (!(await pullsCompletely(client, image))) this.failures.push(`${name}:${tag} in round ${round}`);
        // What it replaced is deleted, so that collections have work.
        if (before !== undefined) await client.delete(`/v2/${name}/manifests/${before.manifest.digest}`);
      }
    }
    await client.close();
  }

  async #collect(): Promise<void> {
    const client = new Client(this.#url);
    while (!this.#stop.signal.aborted) {
      const headers = { 'Content-Type': 'application/json' };
      const { status } = await client.post('/api/v1/gc', { headers, body: '{"grace_seconds":0}' });
      if (status !== 200) this.failures.push(`collection: ${status}`);
    }
    await client.close();
  }
}

async function expectAll(
  acknowledged: ReadonlyMap<string, PushedImage>,
  images: ReturnType<typeof manyImages>,
): Promise<void> {
  for (const image of acknowledged.values()) {
    expect([image.name, image.tag, await pullsCompletely(scene.client, image)]).toEqual([image.name, image.tag, true]);
  }
  for (const [i, image] of images.entries()) {
    const [name, tag] = [`local/${names[i % names.length]}`, `t${i}`];
    // A client pushed the tag here, which is newer.
    const reference = acknowledged.has(`${name}:${tag}`) ? image.manifest.digest : tag;
    expect([name, reference, await scene.pull(name, reference, image)]).toEqual([name, reference, complete(image)]);
  }
}

describe('an import under load', () => {
  it.each<{ what: string; options: Partial<RegistryOptions> }>([
    { what: 'without hooks', options: {} },
    { what: 'with a hook', options: { hooks: { beforeManifestPut: () => undefined } } },
    { what: 'with a quota', options: { quotas: [{ names: 'local/**', maxBytes: 100_000_000 }] } },
  ])('loses nothing that was acknowledged or imported, while everything is collected: $what', async ({ options }) => {
    const repositories = ['local', 'other'].map((name) => ({ name, type: 'local', trashSeconds: 0 }) as const);
    scene = await ImportScene.open({ repositories, ...options });
    const images = manyImages(imported);
    for (const [i, image] of images.entries()) {
      await scene.old.putImage(names[i % names.length] ?? '', image, [`t${i}`], longAgo);
    }
    const load = new Load(scene.registry.url, 4);
    const job = await scene.import();
    // Once more among pushes: everything is there, or comes back.
    const again = await scene.import();
    await load.end();
    expect(load.failures).toEqual([]);
    expect(job).toMatchObject({ state: 'succeeded', report: { images: 4, problems: [] } });
    expect(job.report.manifests.added).toBe(imported);
    expect(again.report).toMatchObject({ manifests: { added: 0, present: imported }, problems: [] });
    await expectAll(load.acknowledged, images);

    await runJob(scene.client, { kind: 'garbage', grace_seconds: 0 });
    await expectAll(load.acknowledged, images);
    // A new process looks for bytes that nothing names.
    await scene.stop();
    await scene.start({ repositories, garbageCollection: { intervalSeconds: 0, graceSeconds: 0 } });
    await runJob(scene.client, { kind: 'garbage' });
    await expectAll(load.acknowledged, images);
  });
});
