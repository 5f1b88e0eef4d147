import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../support/client.js';
import { Command, originOf } from '../support/command.js';
import { pushAndPull } from '../support/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../support/scratch.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

it.each(['connect', 'express'])('examples/%s takes an image, gives it back and stops', async (example) => {
  const folder = await makeScratchFolder();
  cleanups.push(() => removeScratchFolder(folder));
  const env = { PORT: '0', DATA: path.join(folder, 'data') };
  const command = new Command(`examples/${example}/server.mjs`, [], { env });
  cleanups.push(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.push(() => client.close());
  await pushAndPull(client, 'docker-internal/team/app');
  await client.close();
  expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
});
