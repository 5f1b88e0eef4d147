import { openFolder, syncFolder } from './files.js';
import type { OpenFolder } from './system-calls.js';

/**
 * Syncs folders and keeps a descriptor for each: there are a few hundred folders at most, and otherwise every published
 * blob would open and close one.
 */
export class FolderHandles {
  readonly #maxFolders: number;
  readonly #folders = new Map<string, Promise<OpenFolder>>();

  constructor(maxFolders: number) {
    this.#maxFolders = maxFolders;
  }

  /** Makes the names in a folder durable. */
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

  /** Closes all descriptors. No one may sync any more. */
  async close(): Promise<void> {
    const openings = [...this.#folders.values()];
    this.#folders.clear();
    // A failed close frees the descriptor anyway, and nothing was written to it.
    await Promise.allSettled(openings.map(async (opening) => (await opening).close()));
  }
}
