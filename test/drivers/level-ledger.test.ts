import { join } from 'node:path';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { objectLedgerContract } from '../contracts/object-ledger.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

objectLedgerContract('LevelLedger', async () => {
  const folder = await makeScratchFolder();
  const open = () => LevelMetadataStore.open(join(folder, 'index'), { knowsPlaces: true });
  let metadata = await open();
  return {
    get metadata() {
      return metadata;
    },
    ledger: metadata.ledger,
    async reopen() {
      await metadata.close();
      metadata = await open();
      return metadata.ledger;
    },
    async dispose() {
      await metadata.close();
      await removeScratchFolder(folder);
    },
  };
});
