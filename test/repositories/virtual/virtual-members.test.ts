import { describe, expect, it } from 'vitest';
import type { Caller, Repository } from '../../../src/ports/repository.js';
import type { ImageKey } from '../../../src/ports/metadata/images.js';
import { repositoryConfigSchema, type RepositoryConfig } from '../../../src/protocol/settings/repository-config.js';
import { checkTogether } from '../../../src/protocol/settings/repository-graph.js';
import { toCanonicalImage } from '../../../src/protocol/docker-hub.js';
import { VirtualMembers } from '../../../src/repositories/virtual/virtual-members.js';

const configOf = (config: object): RepositoryConfig => repositoryConfigSchema.parse(config);
const virtual = (name: string, members: readonly unknown[], more: object = {}): RepositoryConfig =>
  configOf({ name, type: 'virtual', members, ...more });
const local = (name: string): RepositoryConfig => configOf({ name, type: 'local' });
const remote = (name: string): RepositoryConfig => configOf({ name, type: 'remote', url: 'http://127.0.0.1:1' });
const hub = (name: string): RepositoryConfig =>
  configOf({ name, type: 'remote', url: 'http://127.0.0.1:1', dockerHub: true });

/** Levels of two virtual repositories, each with both of the next level: 2^levels paths to the local below. */
function diamonds(levels: number): RepositoryConfig[] {
  const configs = [local('leaf')];
  let below = ['leaf'];
  for (let level = 0; level < levels; level++) {
    const names = [`a${level}`, `b${level}`];
    const members = below;
    configs.push(...names.map((name) => virtual(name, members)));
    below = names;
  }
  return [...configs, virtual('top', below)];
}

function scene(configs: readonly RepositoryConfig[], permits: (at: ImageKey) => boolean = () => true) {
  const asked: ImageKey[] = [];
  const reached: string[] = [];
  let looked = 0;
  const repositoryOf = (config: RepositoryConfig): Repository => {
    const isHub = config.type === 'remote' && config.dockerHub === true;
    const canonicalImage = (image: string): string => (isHub ? toCanonicalImage(image) : image);
    return { config, canonicalImage } as Repository;
  };
  const byName = new Map(configs.map((config) => [config.name, repositoryOf(config)]));
  const caller = {
    mayPull: async (at: ImageKey) => {
      asked.push(at);
      return permits(at);
    },
    reach: async (repository: string) => {
      reached.push(repository);
      return { prefixes: [''], has: (image: string) => permits({ repository, image }) };
    },
  } as unknown as Caller;
  const top = configs.at(-1);
  if (top?.type !== 'virtual') throw new Error('the last one must be virtual');
  const members = new VirtualMembers(top, (name) => {
    looked++;
    return byName.get(name);
  });
  const names = async (repositories: Promise<readonly Repository[]>): Promise<string[]> =>
    (await repositories).map(({ config }) => config.name);
  return { members, caller, asked, reached, names, looked: () => looked };
}

describe('the members of a virtual repository', () => {
  it('of 40 levels of diamonds are found by asking for each once, regardless of the number of paths', async () => {
    const { members, caller, asked, names, looked } = scene(diamonds(40));
    expect(await names(members.askable(caller, 'app'))).toEqual(['leaf']);
    // Each of the 81 repositories below the top is permitted along each edge that leads to it: 2 + 39 * 4 + 2.
    expect([asked.length, looked()]).toEqual([160, 160]);
  });

  it('are returned in the configured order, local ones first, each once', async () => {
    const configs = [
      local('a'),
      local('b'),
      remote('far'),
      virtual('inner', ['b', 'far', 'a']),
      virtual('top', ['far', 'inner', 'b']),
    ];
    const { members, caller, names } = scene(configs);
    expect(await names(members.askable(caller, 'app'))).toEqual(['b', 'a', 'far']);
    const listed = scene([...configs.slice(0, -1), virtual('top', ['far', 'inner', 'b'], { order: 'as-listed' })]);
    expect(await listed.names(listed.members.askable(listed.caller, 'app'))).toEqual(['far', 'b', 'a']);
  });

  it('are asked if one path to them admits the image', async () => {
    const configs = [
      remote('far'),
      virtual('strict', ['far'], { reserved: ['team/**'] }),
      virtual('wide', [{ name: 'far', exclude: ['other'] }]),
      virtual('top', ['strict', 'wide']),
    ];
    const { members, caller, names } = scene(configs);
    expect(await names(members.askable(caller, 'team/app'))).toEqual(['far']);
    expect(await names(members.askable(caller, 'other'))).toEqual(['far']);
    const closed = scene([...configs.slice(0, 2), virtual('top', ['strict'])]);
    expect(await closed.names(closed.members.askable(closed.caller, 'team/app'))).toEqual([]);
    expect(await closed.names(closed.members.permitted(closed.caller, 'team/app'))).toEqual(['far']);
  });

  it('are skipped if the caller may not pull from them, and not asked for images that patterns exclude', async () => {
    const configs = [
      local('a'),
      local('b'),
      virtual('inner', ['a']),
      virtual('top', ['inner', { name: 'b', exclude: ['app'] }]),
    ];
    const { members, caller, asked, names } = scene(configs, ({ repository }) => repository !== 'inner');
    expect(await names(members.askable(caller, 'app'))).toEqual([]);
    expect(asked).toEqual([{ repository: 'inner', image: 'app' }]);
  });

  it('are the same for a list of images as for each image alone, and each repository is evaluated once', async () => {
    const configs = [
      local('a'),
      remote('far'),
      virtual('strict', [{ name: 'far', exclude: ['x/no'] }, 'a'], { reserved: ['team/**'] }),
      virtual('wide', [{ name: 'far', include: ['team/b', 'x/*'] }, 'strict']),
      virtual('top', ['strict', 'wide'], { reserved: ['x/kept'] }),
    ];
    const permits = ({ repository, image }: ImageKey): boolean => repository !== 'wide' || image !== 'x/no';
    const { members, caller, names, reached } = scene(configs, permits);
    const images = ['team/a', 'team/b', 'x/no', 'x/yes', 'x/kept', 'other'];
    for (const config of configs.slice(0, 2)) {
      const askable = await members.askableOf(caller, { config } as Repository);
      const one = async (image: string): Promise<boolean> =>
        (await names(members.askable(caller, image))).includes(config.name);
      expect(images.filter((image) => askable.has(image))).toEqual(
        (await Promise.all(images.map(one))).flatMap((is, i) => (is ? (images[i] ?? '') : [])),
      );
    }
    expect(reached.filter((name) => name === 'wide')).toHaveLength(2);
    expect(reached).toHaveLength(6);
  });

  it('of 40 levels of diamonds are found for 1,000 images in a few steps each, regardless of the number of paths', async () => {
    const { members, caller, looked } = scene(diamonds(40));
    const askable = await members.askableOf(caller, { config: local('leaf') } as Repository);
    const before = looked();
    for (let i = 0; i < 1000; i++) expect(askable.has(`app-${i}`)).toBe(true);
    expect(looked() - before).toBeLessThanOrEqual(1000 * 160);
  });

  it('that form a cycle, or were deleted, are skipped', async () => {
    const configs = [local('a'), virtual('loop', ['top', 'gone', 'a']), virtual('top', ['loop'])];
    const { members, names } = scene(configs);
    expect(await names(members.all())).toEqual(['a']);
  });
});

describe('checkTogether', () => {
  /** Counts how often members are read, which is what the work is made of. */
  function counted(configs: readonly RepositoryConfig[]): { configs: RepositoryConfig[]; reads: () => number } {
    let reads = 0;
    const watched = configs.map((config) => {
      if (config.type !== 'virtual') return config;
      const members = config.members.map(
        (member) => new Proxy(member, { get: (target, key) => (reads++, Reflect.get(target, key)) }),
      );
      return { ...config, members };
    });
    return { configs: watched, reads: () => reads };
  }

  it('looks for cycles in 40 levels of diamonds by reading each member a few times', () => {
    const { configs, reads } = counted(diamonds(40));
    expect(checkTogether(configs, () => '')).toEqual([]);
    expect(reads()).toBeLessThan(160 * 4);
  });

  it('names the cycle of each repository in a cycle, up to a limit', () => {
    const ring = Array.from({ length: 30 }, (_, n) => virtual(`v${n}`, [`v${(n + 1) % 30}`, 'leaf']));
    const problems = checkTogether([local('leaf'), ...ring, virtual('beside', ['v0'])], (n) => `${n}.`);
    expect(problems.length).toBe(10);
    expect(problems[1]?.problem).toMatch(/^must not form a cycle: v1 → v2 → .* → v0 → v1$/);
  });
});

describe('the members that are asked for an official image of Docker Hub', () => {
  const members = ['mine', 'hub', 'other'];
  const only = (name: string, patterns: object) => members.map((one) => (one === name ? { name, ...patterns } : one));
  const leaves = [local('mine'), hub('hub'), remote('other')];
  const all = ['mine', 'hub', 'other'];
  const nested = (patterns: object) => [
    ...leaves,
    virtual('inner', ['hub', 'other']),
    virtual('top', ['mine', { name: 'inner', ...patterns }]),
  ];

  it.each<[title: string, configs: RepositoryConfig[], image: string, asked: string[]]>([
    ['without patterns', [...leaves, virtual('top', members)], 'alpine', all],
    [
      'with the hub excluded',
      [...leaves, virtual('top', only('hub', { exclude: ['library/**'] }))],
      'alpine',
      ['mine', 'other'],
    ],
    [
      'with its short name excluded',
      [...leaves, virtual('top', only('hub', { exclude: ['alpine'] }))],
      'library/alpine',
      ['mine', 'other'],
    ],
    [
      'with its short name excluded',
      [...leaves, virtual('top', only('hub', { exclude: ['alpine'] }))],
      'library/busybox',
      all,
    ],
    [
      'with another member excluded',
      [...leaves, virtual('top', only('other', { exclude: ['library/**'] }))],
      'alpine',
      all,
    ],
    ['with the hub for it alone', [...leaves, virtual('top', only('hub', { include: ['library/*'] }))], 'alpine', all],
    [
      'with the hub for it alone',
      [...leaves, virtual('top', only('hub', { include: ['library/*'] }))],
      'team/app',
      ['mine', 'other'],
    ],
    [
      'with the hub for its short name',
      [...leaves, virtual('top', only('hub', { include: ['alpine'] }))],
      'library/alpine',
      all,
    ],
    ['reserved', [...leaves, virtual('top', members, { reserved: ['library/**'] })], 'alpine', ['mine', 'other']],
    ['reserved by its short name', [...leaves, virtual('top', members, { reserved: ['alpine'] })], 'alpine', ['mine']],
    [
      'reserved by its short name',
      [...leaves, virtual('top', members, { reserved: ['alpine'] })],
      'library/alpine',
      ['mine', 'other'],
    ],
    ['excluded above', nested({ exclude: ['library/**'] }), 'alpine', ['mine', 'other']],
    ['included above', nested({ include: ['library/**'] }), 'alpine', ['mine', 'hub']],
  ])('follow patterns by either name: %s', async (_title, configs, image, expected) => {
    const { members: found, caller, names, asked } = scene(configs);
    const askable = await names(found.askable(caller, image));
    expect(askable.toSorted()).toEqual(expected.toSorted());
    // Rules see the name that each member has for the image.
    const own = asked.filter(({ repository }) => repository === 'hub').map((at) => at.image);
    expect(own).toEqual(askable.includes('hub') ? [image.includes('/') ? image : `library/${image}`] : []);
    const hubMember = (await found.all()).find(({ config }) => config.name === 'hub');
    if (hubMember === undefined) throw new Error('it has no hub');
    const reach = await found.askableOf(caller, hubMember);
    expect(reach.has(image.includes('/') ? image : `library/${image}`)).toBe(askable.includes('hub'));
  });
});
