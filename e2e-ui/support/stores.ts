import path from 'node:path';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { createMemoryDisk, MemoryBlobStore } from '../../test/support/storage/memory-blob-store.js';
import { makeScratchFolder, removeScratchFolder } from '../../test/support/storage/scratch.js';

/** Stores that a test fills before it starts a registry with them. The registry closes them. */
export interface Stores {
  readonly blobs: MemoryBlobStore;
  readonly metadata: LevelMetadataStore;
  /** Removes the folder of the index, once the registry is closed. */
  remove(): Promise<void>;
}

/** Opens empty stores. */
export async function openStores(): Promise<Stores> {
  const folder = await makeScratchFolder();
  return {
    blobs: new MemoryBlobStore(createMemoryDisk()),
    metadata: await LevelMetadataStore.open(path.join(folder, 'index')),
    remove: () => removeScratchFolder(folder),
  };
}
