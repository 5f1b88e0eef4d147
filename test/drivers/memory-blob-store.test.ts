import { createMemoryDisk, MemoryBlobStore } from '../support/storage/memory-blob-store.js';
import { blobStoreContract } from '../contracts/blob-store.js';

blobStoreContract('MemoryBlobStore', async () => {
  const disk = createMemoryDisk();
  let current = new MemoryBlobStore(disk);
  return {
    store: current,
    async reopen() {
      await current.close();
      current = new MemoryBlobStore(disk);
      return current;
    },
    async damage(digest) {
      const bytes = disk.blobs.get(digest)?.bytes;
      if (bytes !== undefined) bytes[0] = (bytes[0] ?? 0) ^ 1;
    },
    dispose: () => current.close(),
  };
});
