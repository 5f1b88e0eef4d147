import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { RepositoryOptions } from '../../../src/index.js';
import { startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const password = 'secret-password';
const token = 'secret-token';
const url = 'https://registry.example';
const declared: readonly RepositoryOptions[] = [
  { name: 'local', type: 'local' },
  { name: 'basic', type: 'remote', url, credentials: { username: 'robot', password } },
  { name: 'bearer', type: 'remote', url, credentials: { token }, cache: false },
  {
    name: 'asked',
    type: 'remote',
    url,
    credentials: async function secretFunction() {
      return { token };
    },
  },
  { name: 'all', type: 'virtual', members: ['local', { name: 'basic', include: ['team/*'] }], pushTo: 'local' },
];

async function start(): Promise<TestRegistry> {
  const server = await startMemoryRegistry({ repositories: declared });
  cleanups.add(() => server.close());
  return server;
}

function shownOf(value: unknown): string {
  const options = { depth: Infinity, showHidden: true, getters: true, maxStringLength: null } as const;
  return `${JSON.stringify(value)}\n${inspect(value, options)}`;
}

const hidden = /secret|robot|Function: credentials|Repository \{|Upstream|MetadataStore|BlobStore|CacheFills/;

describe('public objects', () => {
  it('never print a password, token, host function or internal object', async () => {
    const { registry } = await start();
    const { repositories } = registry;
    const made = await repositories.create({
      name: 'made',
      type: 'remote',
      url,
      credentials: { username: 'robot', password },
    });
    const replaced = await repositories.replace({ name: 'made', type: 'remote', url, credentials: { token } });
    const views = [made, replaced, repositories.get('basic'), repositories.get('asked'), ...repositories.list()];
    expect(views).toHaveLength(10);
    for (const view of [...views, repositories, registry]) expect(shownOf(view)).not.toMatch(hidden);
  });

  it('are plain, frozen copies that include every default', async () => {
    const { registry, directory } = await start();
    const all = registry.repositories.get('all');
    expect(all).toMatchObject({
      name: 'all',
      type: 'virtual',
      order: 'local-first',
      pushTo: 'local',
      origin: 'declared',
      createdAt: expect.any(Number),
    });
    if (all?.type !== 'virtual') throw new Error('all is virtual');
    expect(Object.getPrototypeOf(all)).toBe(Object.prototype);
    expect([all, all.members, all.members[1], all.members[1]?.include].every(Object.isFrozen)).toBe(true);
    expect(() => (all.members as unknown[]).push('x')).toThrow(TypeError);
    expect(Object.isFrozen(directory.get('all')?.record.config)).toBe(false);
    expect(registry.repositories.get('basic')).toMatchObject({ hasCredentials: true, tagTtlSeconds: 300 });
    expect(registry.repositories.get('none')).toBeUndefined();
  });

  it('are created and replaced with the same input as the options', async () => {
    const { registry, directory } = await start();
    const { repositories } = registry;
    expect(await repositories.create({ name: 'mine', type: 'local' })).toMatchObject({
      name: 'mine',
      sparse: 'indexes',
      origin: 'managed',
    });
    await repositories.create({ name: 'both', type: 'virtual', members: ['mine'] });
    expect(await repositories.replace({ name: 'both', type: 'virtual', members: ['mine', 'local'] })).toMatchObject({
      members: [{ name: 'mine' }, { name: 'local' }],
    });
    await repositories.create({ name: 'made', type: 'remote', url, credentials: { token } });
    expect(directory.get('made')?.record.config).toMatchObject({ credentials: { token } });
    expect(await repositories.replace({ name: 'made', type: 'remote', url })).toMatchObject({ hasCredentials: false });
    await repositories.delete('both');
    expect(repositories.list().map(({ name }) => name)).not.toContain('both');
  });

  it.each<[what: string, options: object, path: string]>([
    ['an unknown option', { name: 'x', type: 'local', spares: true }, 'spares'],
    ['an invalid name', { name: 'X', type: 'local' }, 'name'],
    [
      'a function for credentials',
      { name: 'x', type: 'remote', url, credentials: async () => ({ token }) },
      'credentials',
    ],
    ['a view passed back as input', { name: 'x', type: 'local', origin: 'managed' }, 'origin'],
  ])('refuse %s and name its path', async (_what, options, path) => {
    const { registry } = await start();
    const refusal = { code: 'OPTIONS_INVALID', detail: [expect.objectContaining({ path })] };
    await expect(registry.repositories.create(options as RepositoryOptions)).rejects.toMatchObject(refusal);
    await expect(registry.repositories.replace(options as RepositoryOptions)).rejects.toMatchObject(refusal);
  });
});
