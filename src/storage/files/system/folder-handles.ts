import { openFolder, syncFolder } from './files.js';
import type { OpenFolder } from './system-calls.js';

/**
 * Makes names in folders durable, with a descriptor that is kept for each folder: a few hundred at most, and every blob that
 * is published would open and close one.
 */
export class FolderHandles {
  readonly #maxFolders: number;
  readonly #folders = new Map<string, Promise<OpenFolder>>();

  constructor(maxFolders: number) {
    this.#maxFolders = maxFolders;
  }

  async sync(folder: string): Promise<void> {
    let opening = this.#folders.get(folder);
    if (opening === undefined) {
      if (this.#folders.size >= this.#maxFolders) return syncFolder(folder);
      opening = openFolder(folder);
      this.#folders.set(folder, opening);
      opening.catch(() => this.#folders.delete(folder));
    }
    await (await opening).sync();
  }

  /** Nobody syncs any more. */
  async close(): Promise<void> {
    const openings = [...this.#folders.values()];
    this.#folders.clear();
    // A close that fails frees the descriptor all the same, and nothing was written to it.
    await Promise.allSettled(openings.map(async (opening) => (await opening).close()));
  }
}
