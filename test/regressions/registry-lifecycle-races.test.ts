import { mkdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRegistry, type Registry, type RepositoryOptions } from '../../src/index.js';
import { digestOf, hexOf } from '../../src/protocol/digest.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { recordingLogger } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const config = (name: string, description = ''): RepositoryOptions => ({
  name,
  type: 'local',
  sparse: true,
  description,
});

describe('a registry', () => {
  let folder: string;
  const registries: Registry[] = [];
  const open = (): Registry => {
    const registry = createRegistry({ storage: folder, access: 'open', logger: recordingLogger() });
    registries.push(registry);
    return registry;
  };
  beforeEach(async () => {
    folder = await makeScratchFolder();
  });
  afterEach(async () => {
    for (const registry of registries.splice(0)) await registry.close();
    await removeScratchFolder(folder);
  });

  it('resolves every call of close only once it is closed', async () => {
    const first = open();
    await first.ready();
    let isClosed = false;
    const closing = first.close().then(() => (isClosed = true));
    await first.close();
    expect(isClosed).toBe(true);
    await closing;
    await expect(open().ready()).resolves.toBeUndefined();
  });

  it('frees its folder after it could not be opened', async () => {
    // Bytes that cannot be deleted, of which a stopped process left a note.
    const digest = digestOf(Buffer.from('stuck'));
    await open().ready();
    await registries.pop()?.close();
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    await metadata.apply([{ type: 'bytes.condemn', digest }], { durable: true });
    await metadata.close();
    const stuck = path.join(folder, 'blobs/sha256', hexOf(digest).slice(0, 2), hexOf(digest));
    await mkdir(stuck);
    // Whether it opens all the same is free.
    const first = open();
    await first.ready().catch(() => undefined);
    await first.close();
    await rmdir(stuck);
    await expect(open().ready()).resolves.toBeUndefined();
  });

  it('answers the second of two deletions of one repository with success or NAME_UNKNOWN', async () => {
    const registry = open();
    await registry.ready();
    await registry.repositories.create(config('twice'));
    const [first, second] = await Promise.allSettled([
      registry.repositories.delete('twice'),
      registry.repositories.delete('twice'),
    ]);
    expect(first.status).toBe('fulfilled');
    if (second.status === 'rejected') expect(second.reason).toMatchObject({ code: 'NAME_UNKNOWN' });
    expect(registry.repositories.get('twice')).toBeUndefined();
  });

  it.each(['delete first', 'replace first'])(
    'does not restore a repository that is deleted while it is replaced (%s)',
    async (order) => {
      const registry = open();
      await registry.ready();
      await registry.repositories.create(config('back'));
      const remove = () => registry.repositories.delete('back');
      const replace = () => registry.repositories.replace(config('back', 'replaced'));
      const outcomes = await Promise.allSettled(
        order === 'delete first' ? [remove(), replace()] : [replace(), remove()],
      );
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'NAME_UNKNOWN' });
      }
      expect(registry.repositories.get('back')).toBeUndefined();
      expect(registry.repositories.list()).toEqual([]);
    },
  );
});
