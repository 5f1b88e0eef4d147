import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BlobInfo } from '../../ports/bytes.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import { statFile, type BlobFolders } from './blob-folders.js';
import { renameFile, unlinkFile } from './system/files.js';
import type { FolderHandles } from './system/folder-handles.js';
import { makeFolder } from '../level/database/level-folder.js';
import { isDone } from './storage-errors.js';

/** Limited by the umask, like the other folders of blobs. */
const folderMode = 0o777;

/** The quarantine of a file store. The modification time of a file is the time when it was moved here. */
export class FsQuarantine {
  readonly #folders: BlobFolders;
  readonly #handles: FolderHandles;

  constructor(folders: BlobFolders, handles: FolderHandles) {
    this.#folders = folders;
    this.#handles = handles;
  }

  /** Moves a published blob here. Resolves to false when there is none. */
  async add(digest: Digest, when: number): Promise<boolean> {
    const published = this.#folders.blob(digest);
    // Durable before the move: a file that had its old time after a power cut would be deleted too early.
    if (!(await isDone(() => stamp(published, when)))) return false;
    const quarantined = this.#folders.quarantined(digest);
    await makeFolder(dirname(quarantined), folderMode);
    await this.#move(published, quarantined);
    return true;
  }

  /** Returns a page of the quarantined blobs, in order of their digests. */
  async list({ limit, after = '' }: PageRequest): Promise<Page<BlobInfo>> {
    const items: BlobInfo[] = [];
    for await (const digest of this.#folders.quarantinedDigests(after)) {
      if (items.length === limit) return { items, more: true };
      const stats = await this.#folders.statListed(this.#folders.quarantined(digest));
      if (stats !== undefined) items.push({ digest, ...stats });
    }
    return { items, more: false };
  }

  /** Moves a blob back. Resolves to false when it is not quarantined. */
  async restore(digest: Digest): Promise<boolean> {
    const published = this.#folders.blob(digest);
    if ((await statFile(published)) !== undefined) return this.delete(digest);
    return isDone(() => this.#move(this.#folders.quarantined(digest), published));
  }

  /** Deletes a quarantined blob. Resolves to false when it is not quarantined. */
  async delete(digest: Digest): Promise<boolean> {
    const path = this.#folders.quarantined(digest);
    if (!(await isDone(() => unlinkFile(path)))) return false;
    await this.#handles.sync(dirname(path));
    return true;
  }

  async #move(from: string, to: string): Promise<void> {
    await renameFile(from, to);
    await this.#handles.sync(dirname(to));
    await this.#handles.sync(dirname(from));
  }
}

async function stamp(path: string, when: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.utimes(when / 1000, when / 1000);
    await file.sync();
  } finally {
    await file.close();
  }
}
