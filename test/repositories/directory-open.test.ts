import path from 'node:path';
import { expect, it } from 'vitest';
import type { Repository } from '../../src/ports/repository.js';
import type { RemoteRepositoryConfig, RepositoryConfig } from '../../src/protocol/settings/repository-config.js';
import { repositoryConfigSchema } from '../../src/protocol/settings/repository-config.js';
import { Directory } from '../../src/repositories/directory.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { system } from '../../src/util/system-actor.js';
import { changesOf, hooked, TestRuntime } from '../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const ignore = (): void => undefined;

it('opening writes a declared repository to the index only when it has changed', async () => {
  const folder = await makeScratchFolder();
  const store = await LevelMetadataStore.open(path.join(folder, 'index'));
  const written: string[] = [];
  const metadata = hooked(store, async (method, args) => {
    if (method === 'apply') written.push(...changesOf(args));
  });
  const open = async (...declared: object[]): Promise<void> => {
    written.length = 0;
    const configs = declared.map((config): RepositoryConfig => repositoryConfigSchema.parse(config));
    const options = { declared: configs, hosts: {}, namespaces: {} };
    const create = (config: RepositoryConfig): Repository => ({ config }) as unknown as Repository;
    const parts = { metadata, runtime: new TestRuntime(1000), create, onDeleted: ignore, onUndeclared: ignore };
    await Directory.open(options, parts);
  };
  const local = { name: 'local', type: 'local' };
  const credentials = { username: 'u', password: 'p' };
  const hub = { name: 'hub', type: 'remote', url: 'https://hub.example', credentials };
  await open(local, hub);
  expect(written).toEqual(['repository.put', 'repository.put']);
  await open(local, hub);
  expect(written).toEqual([]);
  await open({ ...local, description: 'images' }, hub);
  expect(written).toEqual(['repository.put']);
  await store.close();
  await removeScratchFolder(folder);
});

it('opening an index of an earlier release reads a setting under its old name, and adds those that it lacks', async () => {
  const folder = await makeScratchFolder();
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  const hub = repositoryConfigSchema.parse({ name: 'hub', type: 'remote', url: 'https://hub.example' });
  const { trustedRealms: _later, ...earlier } = hub as RemoteRepositoryConfig;
  const config = { ...earlier, cacheMaxBytes: 1000 } as unknown as RepositoryConfig;
  await metadata.apply([{ type: 'repository.put', config, origin: 'managed', when: 1 }], { durable: true });
  const create = (known: RepositoryConfig): Repository => ({ config: known }) as unknown as Repository;
  const options = { declared: [], hosts: {}, namespaces: {} };
  const directory = await Directory.open(options, {
    metadata,
    runtime: new TestRuntime(1000),
    create,
    onDeleted: ignore,
    onUndeclared: ignore,
  });
  expect(directory.get('hub')?.record.config).toEqual({ ...hub, maxCacheBytes: 1000 });
  expect(directory.get('hub')?.repository.config).toEqual({ ...hub, maxCacheBytes: 1000 });
  await metadata.close();
  await removeScratchFolder(folder);
});

it('create() refuses a name with CONFLICT that another process created before or at the same time', async () => {
  const folder = await makeScratchFolder();
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  const create = (known: RepositoryConfig): Repository => ({ config: known }) as unknown as Repository;
  const parts = { metadata, runtime: new TestRuntime(1000), create, onDeleted: ignore, onUndeclared: ignore };
  const open = (): Promise<Directory> => Directory.open({ declared: [], hosts: {}, namespaces: {} }, parts);
  const [first, second] = [await open(), await open()];
  const config = (name: string): RepositoryConfig => repositoryConfigSchema.parse({ name, type: 'local' });
  const outcomes = await Promise.allSettled([first.create(config('a'), system), second.create(config('a'), system)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'CONFLICT' } });
  await first.create(config('b'), system);
  await expect(second.create(config('b'), system)).rejects.toMatchObject({ code: 'CONFLICT' });
  expect((await metadata.repositories()).map((record) => record.config.name)).toEqual(['a', 'b']);
  await metadata.close();
  await removeScratchFolder(folder);
});
