import { closeFile, openFile, syncAll } from './files.js';

/**
 * Makes names in folders durable, with a descriptor that is kept for each folder: a few hundred at most, and every blob that
 * is published would open and close one.
 */
export class FolderHandles {
  readonly #descriptors = new Map<string, Promise<number>>();

  async sync(folder: string): Promise<void> {
    let opening = this.#descriptors.get(folder);
    if (opening === undefined) {
      opening = openFile(folder, 'r');
      this.#descriptors.set(folder, opening);
      opening.catch(() => this.#descriptors.delete(folder));
    }
    await syncAll(await opening);
  }

  /** Nobody syncs any more. */
  async close(): Promise<void> {
    const openings = await Promise.allSettled(this.#descriptors.values());
    this.#descriptors.clear();
    for (const opening of openings) if (opening.status === 'fulfilled') await closeFile(opening.value);
  }
}
