import type { WorkProgress } from '../../ports/operations/backup.js';
import type { MigrationOptions, MigrationProblem, MigrationReport } from '../../ports/operations/migration.js';

/** Counts the results of an import. */
export class MigrationTally {
  images = 0;
  moves = 0;
  readonly manifests = { added: 0, present: 0 };
  readonly tags = { added: 0, present: 0, kept: 0 };
  readonly blobs = { added: 0, bytes: 0, copied: 0, copiedBytes: 0 };
  #problems = 0;
  readonly #totalImages: number;
  readonly #onProgress: (progress: WorkProgress) => void;
  readonly #onProblem: (problem: MigrationProblem) => void;

  constructor(totalImages: number, listeners: Pick<MigrationOptions, 'onProgress' | 'onProblem'>) {
    this.#totalImages = totalImages;
    this.#onProgress = listeners.onProgress ?? (() => {});
    this.#onProblem = listeners.onProblem ?? (() => {});
  }

  countBlob(bytes: number, isCopy: boolean): void {
    this.blobs.added++;
    this.blobs.bytes += bytes;
    if (isCopy) {
      this.blobs.copied++;
      this.blobs.copiedBytes += bytes;
    }
    this.showProgress();
  }

  showProgress(): void {
    this.#onProgress({ phase: 'import', done: this.images, total: this.#totalImages, bytes: this.blobs.bytes });
  }

  report(problem: MigrationProblem): void {
    this.#problems++;
    this.#onProblem(problem);
  }

  counts(): Pick<MigrationReport, 'images' | 'manifests' | 'tags' | 'blobs' | 'moves' | 'problems'> {
    const { images, moves, manifests, tags, blobs } = this;
    return { images, manifests, tags, blobs, moves, problems: this.#problems };
  }
}
