import { blobStoreContract } from '../contracts/blob-store.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { S3Client } from '../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts } from '../../src/storage/s3/s3-options.js';
import { createBucket, openScene } from './support/bucket.js';
import { serverName } from './support/start-s3-server.js';

blobStoreContract(
  `S3BlobStore with ${serverName}`,
  async () => {
    const folder = await makeScratchFolder();
    const connection = await createBucket();
    let scene = await openScene(folder, connection);
    return {
      store: scene.blobs,
      async reopen() {
        await scene.close();
        scene = await openScene(folder, connection);
        return scene.blobs;
      },
      async damage(digest) {
        const place = await scene.metadata.ledger.place(digest);
        if (place === undefined) throw new Error(`${digest} is not stored`);
        const client = await S3Client.create(connection, defaultTimeouts);
        await client.call({ method: 'PUT', key: place.key, body: Buffer.alloc(place.size) });
        client.close();
      },
      async dispose() {
        await scene.close();
        await removeScratchFolder(folder);
      },
    };
  },
  { isRemote: true },
);
