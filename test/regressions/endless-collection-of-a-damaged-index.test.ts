import path from 'node:path';
import { Level } from 'level';
import { expect, it } from 'vitest';
import { Client } from '../support/clients/client.js';
import { digest } from '../support/content/content.js';
import { startRegistry } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();

it.each(['bytes', 'link\x001\0team/app'])(
  'a collection ends although the index names an invalid candidate: %j',
  async (target) => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    try {
      await (await startRegistry({ storage: folder })).close();
      const level = new Level(path.join(folder, 'index'));
      await level.put(`!\0due\x000000000000000010\0${target}\0${digest('lost')}`, '');
      await level.close();
      const { url, close } = await startRegistry({ storage: folder });
      cleanups.add(close);
      const client = new Client(url);
      cleanups.add(() => client.close());
      const answer = await client.send('POST', '/api/v1/gc');
      expect([answer.status, answer.json()]).toMatchObject([200, { blobs_deleted: 0, unlinked: 0 }]);
    } finally {
      await cleanups.run();
    }
  },
);
