import type { S3Upload } from './s3-upload.js';

/** Keeps the uploads that remember their hash. Beyond the maximum, forgets idle ones: the ledger has their state. */
export class OpenUploads {
  readonly #max: number;
  /** Oldest first. */
  readonly #uploads = new Map<string, S3Upload>();

  constructor(max: number) {
    this.#max = max;
  }

  get(id: string): S3Upload | undefined {
    return this.#uploads.get(id);
  }

  add(upload: S3Upload): void {
    this.#uploads.set(upload.id, upload);
    if (this.#uploads.size <= this.#max) return;
    for (const [id, known] of this.#uploads) {
      if (known === upload || !known.isIdle) continue;
      this.#uploads.delete(id);
      return;
    }
  }

  remove({ id }: S3Upload): void {
    this.#uploads.delete(id);
  }

  /** Ends running appends, which keep what arrived. */
  async close(reason: Error): Promise<void> {
    await Promise.allSettled([...this.#uploads.values()].map((upload) => upload.close(reason)));
  }
}
