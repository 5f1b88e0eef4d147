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

/** As the umask says, like the other folders of blobs. */
const folderMode = 0o777;

/** The quarantine of a file store. The modification time of a file is when it was moved here. */
export class FsQuarantine {
  readonly #folders: BlobFolders;
  readonly #handles: FolderHandles;

  constructor(folders: BlobFolders, handles: FolderHandles) {
    this.#folders = folders;
    this.#handles = handles;
  }

  async add(digest: Digest, when: number): Promise<boolean> {
    const published = this.#folders.blob(digest);
    // Durable before the move: a file that kept its old time after a power cut would be deleted too early.
    if (!(await isDone(() => stamp(published, when)))) return false;
    const quarantined = this.#folders.quarantined(digest);
    await makeFolder(dirname(quarantined), folderMode);
    await this.#move(published, quarantined);
    return true;
  }

  async list({ limit, after = '' }: PageRequest): Promise<Page<BlobInfo>> {
    const items: BlobInfo[] = [];
    for await (const digest of this.#folders.quarantinedDigests(after)) {
      if (items.length === limit) return { items, more: true };
      const stats = await this.#folders.statListed(this.#folders.quarantined(digest));
      if (stats !== undefined) items.push({ digest, ...stats });
    }
    return { items, more: false };
  }

  async restore(digest: Digest): Promise<boolean> {
    const published = this.#folders.blob(digest);
    if ((await statFile(published)) !== undefined) return this.delete(digest);
    return isDone(() => this.#move(this.#folders.quarantined(digest), published));
  }

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
