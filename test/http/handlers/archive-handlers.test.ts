import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { sendArchive } from '../../../src/http/handlers/images/archives.js';
import { BoundedTasks } from '../../../src/http/limits/bounded-tasks.js';
import { isBlobBody } from '../../../src/http/reply.js';
import type { Archives } from '../../../src/ports/archives.js';
import type { Repository } from '../../../src/ports/repository.js';

it('An export counts while its files are collected and while it is sent', async () => {
  const tasks = new BoundedTasks(4, 'exports');
  const collected: (() => void)[] = [];
  const archives = {
    export: () =>
      new Promise((resolve) => {
        collected.push(() => resolve({ size: 1, writeTo: () => new Promise(() => undefined) }));
      }),
  } as unknown as Archives;
  const repository = { config: { name: 'local' }, canonicalImage: (image: string) => image } as Repository;
  const exchange = {
    caller: {},
    query: new URLSearchParams({ name: 'app:1' }),
    client: { address: '192.0.2.1' },
    require: () => Promise.resolve(),
  } as unknown as Parameters<typeof sendArchive>[2];
  const start = () => sendArchive(repository, archives, exchange, tasks);
  const refused = { code: 'TOOMANYREQUESTS', status: 429, refusal: 'exports' };

  const started = [start(), start()];
  await expect(start()).rejects.toMatchObject(refused);
  for (const collect of collected) collect();
  const sink = new Writable();
  for (const { body } of await Promise.all(started)) if (isBlobBody(body)) void body.content.writeTo(sink);
  await expect(start()).rejects.toMatchObject(refused);
});
