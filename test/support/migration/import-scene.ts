import path from 'node:path';
import type { RegistryOptions } from '../../../src/index.js';
import { Client } from '../clients/client.js';
import { runJob, type JobDocument } from '../clients/jobs.js';
import { digest } from '../content/content.js';
import { startRegistry, type TestRegistry } from '../servers/registry.js';
import { quiet } from '../storage/backup-scene.js';
import { imageOf, type Image } from '../storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../storage/scratch.js';
import { DistributionFolder } from './old-registry.js';

/** The report of an import job. */
interface ImportReport {
  readonly images: number;
  readonly manifests: { readonly added: number; readonly present: number };
  readonly problem_count: number;
  readonly problems: readonly {
    readonly problem: string;
    readonly message: string;
    readonly tags: readonly string[];
  }[];
}

/** A job that imports. */
export type ImportJob = Omit<JobDocument, 'report'> & { readonly report: ImportReport };

/** A registry that may import the folder `old/distribution`. */
export class ImportScene {
  readonly root: string;
  readonly old: DistributionFolder;
  registry!: TestRegistry;
  client!: Client;

  private constructor(root: string) {
    this.root = root;
    this.old = new DistributionFolder(path.join(root, 'old', 'distribution'));
  }

  static async open(options: Partial<RegistryOptions> = {}): Promise<ImportScene> {
    const scene = new ImportScene(await makeScratchFolder());
    await scene.start(options);
    return scene;
  }

  /** The folder that may be read. */
  get folders(): string {
    return path.join(this.root, 'old');
  }

  async start(options: Partial<RegistryOptions> = {}): Promise<void> {
    this.registry = await startRegistry({
      ...quiet,
      storage: path.join(this.root, 'data'),
      imports: { folders: [this.folders] },
      ...options,
    });
    this.client = new Client(this.registry.url);
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.registry.close();
  }

  async dispose(): Promise<void> {
    await this.stop();
    await removeScratchFolder(this.root);
  }

  /** Imports the folder, and returns the job when it ended. */
  async import(document: object = {}): Promise<ImportJob> {
    const job = await runJob(this.client, { kind: 'import', folder: 'distribution', repository: 'local', ...document });
    // The report is that of an import.
    return job as unknown as ImportJob;
  }

  /** Returns what a pull of an image gets: the digest of its tag and of its blobs. */
  async pull(name: string, tag: string, { blobs }: Image): Promise<readonly (string | number)[]> {
    const manifest = await this.client.get(`/v2/${name}/manifests/${tag}`);
    const pulled = [manifest.status === 200 ? digest(manifest.body) : manifest.status];
    for (const bytes of blobs) {
      const blob = await this.client.get(`/v2/${name}/blobs/${digest(bytes)}`);
      pulled.push(blob.status === 200 ? digest(blob.body) : blob.status);
    }
    return pulled;
  }
}

/** Returns what a complete pull of an image gets. */
export function complete({ manifest, blobs }: Image): readonly string[] {
  return [manifest.digest, ...blobs.map((bytes) => digest(bytes))];
}

/** Creates images that share a layer. */
export function manyImages(count: number): readonly Image[] {
  return Array.from({ length: count }, (_, i) => imageOf(`old ${i}`, [Buffer.from('shared'), Buffer.from(`own ${i}`)]));
}
