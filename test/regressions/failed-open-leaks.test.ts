import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createRegistry, type Registry, type RegistryOptions } from '../../src/index.js';
import { digestOf } from '../../src/protocol/digest.js';
import { FsBlobStore } from '../../src/storage/files/fs-blob-store.js';
import { Directory } from '../../src/repositories/directory.js';
import { HashClient } from '../../src/storage/files/hashing/hash-client.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { Transport } from '../../src/util/outgoing/transport.js';
import { openFilesUnder } from '../support/storage/open-files.js';
import { recordingLogger } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let folder: string;
beforeEach(async () => {
  folder = await makeScratchFolder();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await removeScratchFolder(folder);
});

/** What holds something in memory: rules with a file of passwords, and each kind of repository. */
async function makeRegistry(): Promise<Registry> {
  const htpasswd = path.join(folder, 'htpasswd');
  await writeFile(htpasswd, 'admin:$2y$05$WlN7gVwXHwz0vJbZ3Ibpf.dvHmNfKHWyOPBB7HD8p3EsCeHuGPb1K\n');
  const options: RegistryOptions = {
    storage: path.join(folder, 'data'),
    access: { htpasswd, rules: [{ users: ['admin'], allow: ['pull', 'push', 'delete', 'admin'] }] },
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: 'http://127.0.0.1:9' },
      { name: 'through', type: 'remote', url: 'http://127.0.0.1:9', cache: false },
      { name: 'all', type: 'virtual', members: ['local', 'hub'] },
    ],
    logger: recordingLogger(),
  };
  return createRegistry(options);
}

/** Things that an opening registry makes: how many of them are left. */
function countWhatIsLeft() {
  const intervals = new Set<unknown>();
  const { setInterval: start, clearInterval: stop } = globalThis;
  vi.spyOn(globalThis, 'setInterval').mockImplementation((...args) => {
    const timer = start(...args);
    intervals.add(timer);
    return timer;
  });
  vi.spyOn(globalThis, 'clearInterval').mockImplementation((timer) => {
    intervals.delete(timer);
    stop(timer);
  });
  return { intervals };
}

type Method = (...args: never[]) => unknown;

/** Makes the call number `failing` of the stores reject; counts all of them. */
function failCall(failing: number): { calls: string[] } {
  const calls: string[] = [];
  const replace = (target: object, owner: string, name: string): void => {
    const original = Reflect.get(target, name) as Method;
    Reflect.set(target, name, function (this: unknown, ...args: never[]): unknown {
      if (calls.push(`${owner}.${name}`) === failing) return refuse(original);
      return Reflect.apply(original, this, args);
    });
    restores.push(() => Reflect.set(target, name, original));
  };
  replace(LevelMetadataStore, 'LevelMetadataStore', 'open');
  replace(FsBlobStore, 'FsBlobStore', 'open');
  for (const store of [LevelMetadataStore, FsBlobStore]) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(store.prototype))) {
      if (typeof value === 'function' && name !== 'constructor' && name !== 'close')
        replace(store.prototype, store.name, name);
    }
  }
  return { calls };
}

/** As the method would fail: a list when it is read, all else by a rejection. */
function refuse(method: Method): unknown {
  const failure = Object.assign(new Error('this call fails'), { code: 'EIO' });
  if (!method.constructor.name.includes('Generator') && method.name !== 'list') return Promise.reject(failure);
  return (async function* () {
    yield await Promise.reject(failure);
  })();
}

const restores: (() => unknown)[] = [];
const restore = (): void => {
  for (const undo of restores.splice(0)) undo();
};
afterEach(restore);

it('a failed start leaves nothing open, for every step that can fail', async () => {
  // So that a start has something to clean up.
  const first = await makeRegistry();
  await first.ready();
  await first.close();
  const metadata = await LevelMetadataStore.open(path.join(folder, 'data/index'));
  await metadata.apply([{ type: 'bytes.condemn', digest: digestOf(Buffer.from('gone')) }], { durable: true });
  await metadata.close();

  const left = countWhatIsLeft();
  const transports = vi.spyOn(Transport.prototype, 'close');
  const failed: string[] = [];
  for (let step = 1; ; step++) {
    const { calls } = failCall(step);
    const registry = await makeRegistry();
    const isOpen = await registry.ready().then(
      () => true,
      () => false,
    );
    restore();
    if (!isOpen) {
      failed.push(calls[step - 1] ?? '');
      expect([calls[step - 1], await openFilesUnder(folder), left.intervals.size]).toEqual([failed.at(-1), [], 0]);
    }
    await registry.close();
    expect(left.intervals.size).toBe(0);
    if (isOpen && calls.length < step) break;
  }
  expect(failed).toEqual(expect.arrayContaining(['LevelMetadataStore.open', 'FsBlobStore.open']));
  // Both remotes were closed where the last declaration failed, which is when they were there.
  expect(transports.mock.calls.length).toBeGreaterThan(2);
  // The lock is free.
  const again = await makeRegistry();
  await again.ready();
  await again.close();
});

it('close runs every step even if some fail, reports each failure, and frees the folder', async () => {
  const opened = vi.spyOn(Directory, 'open');
  const registry = await makeRegistry();
  await registry.ready();
  const directory = await opened.mock.results[0]?.value;
  for (const { repository } of directory?.list() ?? []) repository.close = () => Promise.reject(new Error('stuck'));
  const closeWorker = vi.spyOn(HashClient.prototype, 'close').mockRejectedValueOnce(new Error('worker gone'));
  const failure: unknown = await registry.close().catch((cause: unknown) => cause);
  expect(failure).toBeInstanceOf(AggregateError);
  expect((failure as Error).message).toMatch(/repositories: .*stuck.*blobs: .*worker gone/);
  expect(closeWorker).toHaveBeenCalledOnce();
  expect(await registry.close().catch((cause: unknown) => cause)).toBe(failure);
  expect(await openFilesUnder(folder)).toEqual([]);
  const again = await makeRegistry();
  await again.ready();
  await again.close();
});
