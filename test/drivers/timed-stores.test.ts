import { timeStores, type TimedStores } from '../../src/composition/stores/timed-stores.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { createMemoryDisk, MemoryBlobStore } from '../support/storage/memory-blob-store.js';
import { blobStoreContract } from '../contracts/blob-store.js';
import { metadataStoreContract } from '../contracts/metadata-store.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

// The metrics wrap the stores of every driver.

async function open(disk = createMemoryDisk()): Promise<TimedStores & { readonly dispose: () => Promise<void> }> {
  const folder = await makeScratchFolder();
  const metadata = await LevelMetadataStore.open(folder);
  const timed = timeStores({ metadata, blobs: new MemoryBlobStore(disk) }, 'custom');
  const dispose = async (): Promise<void> => {
    await timed.metadata.close();
    await removeScratchFolder(folder);
  };
  return { ...timed, dispose };
}

metadataStoreContract('a timed LevelMetadataStore', async () => {
  const { metadata: store, dispose } = await open();
  return { store, dispose };
});

blobStoreContract('a timed MemoryBlobStore', async () => {
  const disk = createMemoryDisk();
  const stores = [await open(disk)];
  return {
    store: stores[0]!.blobs,
    async reopen() {
      await stores.at(-1)?.blobs.close();
      const next = await open(disk);
      stores.push(next);
      return next.blobs;
    },
    async damage(digest) {
      const bytes = disk.blobs.get(digest)?.bytes;
      if (bytes !== undefined) bytes[0] = (bytes[0] ?? 0) ^ 1;
    },
    async dispose() {
      await stores.at(-1)?.blobs.close();
      for (const each of stores) await each.dispose();
    },
  };
});
