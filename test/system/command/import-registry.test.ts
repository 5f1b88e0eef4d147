import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest } from '../../support/content/content.js';
import { DistributionFolder, photograph, ZotFolder } from '../../support/migration/old-registry.js';
import { bundledCommand, Command, originOf, type CommandOptions, type Ended } from '../../support/servers/command.js';
import { withSlowLinks } from '../../support/servers/slow-links.js';
import { imageOf, type Image } from '../../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const layers = [Buffer.from('shared layer'), Buffer.from('another layer')];
const [one, two] = [imageOf('one', layers), imageOf('two', layers)] as const;

let root: string;
let data: string;
let source: string;
let old: DistributionFolder;
/** A data folder that a registry has created, and a config with repositories of all types. */
let template: string;
let config: string;

beforeAll(async () => {
  template = await makeScratchFolder();
  config = path.join(template, 'config.yaml');
  const repositories = [
    { name: 'local', type: 'local' },
    { name: 'all', type: 'virtual', members: ['local'] },
  ];
  await writeFile(config, JSON.stringify({ repositories }));
});
afterAll(() => removeScratchFolder(template));

const cleanups = new Cleanups();
beforeEach(async () => {
  root = await makeScratchFolder();
  data = path.join(root, 'data');
  source = path.join(root, 'old');
  old = new DistributionFolder(source);
});
afterEach(async () => {
  await cleanups.run();
  await removeScratchFolder(root);
});

/** Starts the registry; returns a client and a function that stops it. */
async function serve(): Promise<{ client: Client; stop: () => Promise<unknown> }> {
  const flags = ['--data', data, '--config', config, '--log-level', 'warn'];
  const server = new Command(bundledCommand, ['serve', '--port', '0', ...flags]);
  const client = new Client(await originOf(server));
  const stop = async (): Promise<unknown> => {
    await client.close();
    server.kill('SIGTERM');
    return server.ended();
  };
  cleanups.add(stop);
  return { client, stop };
}

async function prepare(): Promise<void> {
  await old.putImage('team/app', one, ['1', 'latest']);
  await old.putImage('team/app', two, ['2']);
  await old.putImage('busybox', two);
  await (await serve()).stop();
}

function importing(args: readonly string[], env: CommandOptions['env'] = {}): Command {
  const command = new Command(bundledCommand, ['import-registry', ...args], { cwd: root, env });
  cleanups.add(() => command.destroy());
  return command;
}

function run(...args: readonly string[]): Promise<Ended> {
  return importing(args).ended();
}

const usual = (): string[] => [source, '--into', 'local', '--data', data];

async function expectPulls(client: Client, name: string, { manifest, blobs }: Image, tag?: string): Promise<void> {
  for (const reference of [manifest.digest, ...(tag === undefined ? [] : [tag])]) {
    const answer = await client.get(`/v2/local/${name}/manifests/${reference}`);
    expect([answer.status, digest(answer.body)]).toEqual([200, manifest.digest]);
  }
  for (const bytes of blobs) {
    const answer = await client.get(`/v2/local/${name}/blobs/${digest(bytes)}`);
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
  }
}

function ourBlob(name: string): string {
  const [algorithm = '', hex = ''] = name.split(':');
  return path.join(data, 'blobs', algorithm, hex.slice(0, 2), hex);
}

describe('artifactapi import-registry', () => {
  it('imports a distribution folder by links, and adds nothing when it runs again', async () => {
    await prepare();
    const before = await photograph(source, { links: false });
    const { code, stdout, stderr } = await run(...usual());
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`imported ${source} (CNCF distribution) into local`);
    expect(stdout).toContain('manifests: 3 added, 0 present');
    const again = await run(...usual());
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('files: 0 added')]);
    expect(await photograph(source, { links: false })).toEqual(before);
    for (const name of [one.manifest.digest, ...one.blobs.map((bytes) => digest(bytes))]) {
      expect((await stat(ourBlob(name))).ino).toBe((await stat(old.data(name))).ino);
    }
    expect(await readdir(path.join(data, 'staged'))).toEqual([]);
    const { client } = await serve();
    await expectPulls(client, 'team/app', one, '1');
    await expectPulls(client, 'team/app', one, 'latest');
    await expectPulls(client, 'team/app', two, '2');
    await expectPulls(client, 'busybox', two);
    expect((await client.get('/v2/local/busybox/tags/list')).json()).toEqual({ name: 'local/busybox', tags: [] });
  });

  it('imports a folder of zot, whose equal blobs are links already', async () => {
    const zot = new ZotFolder(source);
    await zot.putImage('team/app', one, ['1']);
    await zot.putImage('other', one, ['1']);
    await (await serve()).stop();
    expect((await run(...usual())).code).toBe(0);
    const layer = digest(layers[0] ?? '');
    const { ino, nlink } = await stat(ourBlob(layer));
    expect([ino, nlink]).toEqual([(await stat(zot.blob('other', layer))).ino, 3]);
    const { client } = await serve();
    await expectPulls(client, 'team/app', one, '1');
    await expectPulls(client, 'other', one, '1');
  });

  it('writes nothing in a dry run, and prints what an import does', async () => {
    await prepare();
    const photographs = () =>
      Promise.all([readdir(data), ...['blobs', 'staged'].map((part) => photograph(path.join(data, part)))]);
    const before = [await photographs(), await photograph(source)];
    const { code, stdout } = await run(...usual(), '--dry-run', '--verify');
    expect([code, stdout]).toEqual([0, expect.stringContaining('manifests: 3 to add, 0 present')]);
    expect([await photographs(), await photograph(source)]).toEqual(before);
    const { client } = await serve();
    expect((await client.get('/v2/_catalog')).json()).toEqual({ repositories: [] });
  });

  it('lists problems, imports the rest and exits with 3', async () => {
    await prepare();
    await writeFile(old.data(two.manifest.digest), 'other bytes');
    const { code, stdout } = await run(...usual());
    expect(code).toBe(3);
    expect(stdout).toMatch(new RegExp(`^team/app:2  wrong-digest: .*${two.manifest.digest.slice(7)}`, 'm'));
    expect(stdout).toContain(`busybox@${two.manifest.digest}  wrong-digest: `);
    expect(stdout).toContain('problems: 2, listed above; the rest was imported');
    const { client } = await serve();
    await expectPulls(client, 'team/app', one, '1');
    expect((await client.get('/v2/local/team/app/manifests/2')).status).toBe(404);
  });

  it('prints one JSON document', async () => {
    await prepare();
    await old.putImage('team/Upper', one, ['1']);
    const { code, stdout } = await run(...usual(), '--json', '--copy');
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      folder: source,
      format: 'distribution',
      repository: 'local',
      dry_run: false,
      images: 3,
      manifests: { added: 3, present: 0 },
      tags: { added: 3, present: 0, kept: 0 },
      blobs: { added: 6, copied: 6 },
      problems: [{ image: 'team/Upper', tags: [], problem: 'invalid-name' }],
    });
    expect((await stat(ourBlob(one.manifest.digest))).nlink).toBe(1);
  });

  it('continues after it was killed, and removes what the killed process left', async () => {
    const images = Array.from({ length: 400 }, (_, i) => imageOf(`image ${i}`, layers));
    for (const [i, image] of images.entries()) await old.putImage(`app${i % 20}`, image, [`t${i}`]);
    await (await serve()).stop();
    const killed = importing(usual(), withSlowLinks);
    const counted = async (): Promise<number> => Object.keys(await photograph(path.join(data, 'blobs'))).length;
    await expect.poll(counted, { interval: 5 }).toBeGreaterThan(50);
    expect((await killed.destroy()).code).toBeNull();
    await writeFile(path.join(data, 'staged', 'once-00000000-0000-4000-8000-000000000000'), 'left');
    const { code, stdout } = await run(...usual(), '--json');
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { images: 20, problems: [] }]);
    const { manifests } = JSON.parse(stdout) as { manifests: { added: number; present: number } };
    expect(manifests.added + manifests.present).toBe(400);
    expect(await readdir(path.join(data, 'staged'))).toEqual([]);
    expect((await run(...usual())).stdout).toContain('files: 0 added');
    const { client } = await serve();
    for (const [i, image] of images.entries()) {
      const answer = await client.get(`/v2/local/app${i % 20}/manifests/t${i}`);
      expect(digest(answer.body)).toBe(image.manifest.digest);
    }
  });

  it('stops at SIGTERM with status 1 and says how to continue', async () => {
    const images = Array.from({ length: 600 }, (_, i) => imageOf(`image ${i}`, layers));
    for (const [i, image] of images.entries()) await old.putImage('app', image, [`t${i}`]);
    await (await serve()).stop();
    const stopped = importing(usual(), withSlowLinks);
    await expect
      .poll(async () => Object.keys(await photograph(path.join(data, 'blobs'))).length, {
        interval: 5,
      })
      .toBeGreaterThan(10);
    stopped.kill('SIGTERM');
    const { code, stderr } = await stopped.ended();
    expect([code, stderr]).toEqual([1, 'artifactapi: stopped: run the command again to continue\n']);
    expect((await run(...usual())).code).toBe(0);
  });

  it('refuses while the registry runs', async () => {
    await prepare();
    await serve();
    const { code, stderr } = await run(...usual());
    expect([code, stderr]).toEqual([1, expect.stringMatching(/another process .* has .* open: stop it first\n$/)]);
  });

  it.each<{ what: string; args: () => string[]; error: string }>([
    {
      what: 'an unknown repository',
      args: () => [source, '--into', 'nope', '--data', data],
      error: 'unknown repository "nope"',
    },
    {
      what: 'a virtual repository',
      args: () => [source, '--into', 'all', '--data', data],
      error: 'repository "all" is virtual',
    },
    {
      what: 'a folder without a registry',
      args: () => [path.join(root, 'empty'), '--into', 'local', '--data', data],
      error: 'no registry in',
    },
    {
      what: 'a missing folder',
      args: () => [path.join(root, 'none'), '--into', 'local', '--data', data],
      error: 'none is not a folder',
    },
    {
      what: 'a data folder that does not exist',
      args: () => [source, '--into', 'local', '--data', path.join(root, 'new')],
      error: 'new is not a data folder',
    },
    {
      what: 'a data folder that does not exist, by default',
      args: () => [source, '--into', 'local'],
      error: 'is not a data folder',
    },
    {
      what: 'a folder inside the data folder',
      args: () => [path.join(data, 'inside'), '--into', 'local', '--data', data],
      error: 'overlap',
    },
    {
      what: 'a folder around the data folder',
      args: () => [root, '--into', 'local', '--data', data],
      error: 'overlap',
    },
  ])('refuses $what, and reads and writes nothing', async ({ what, args, error }) => {
    await prepare();
    if (what.endsWith('by default')) await rename(data, path.join(root, 'elsewhere'));
    else await mkdir(path.join(data, 'inside'));
    await mkdir(path.join(root, 'empty'));
    const before = [await photograph(source), (await readdir(root)).sort()];
    const { code, stdout, stderr } = await run(...args());
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(error);
    expect([await photograph(source), (await readdir(root)).sort()]).toEqual(before);
  });

  it.each([
    { args: [], error: 'artifactapi: --into <repository> is required' },
    { args: ['--into', 'local'], error: 'artifactapi: <folder> is required' },
    { args: ['a', 'b', '--into', 'local'], error: 'artifactapi: too many arguments' },
    { args: ['a', '--into', 'local', '--move'], error: 'artifactapi: unknown option "--move"' },
  ])('exits with 2 for wrong usage: $args', async ({ args, error }) => {
    const { code, stderr } = await run(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(error)]);
  });

  it('prints help with status 0', async () => {
    const { code, stdout } = await run('--help');
    expect([code, stdout]).toEqual([0, expect.stringContaining('--into <repository>')]);
  });
});

describe('files of another owner', () => {
  it('are readable through the registry after the old folder is gone', async () => {
    await prepare();
    await run(...usual());
    const bytes = await readFile(old.data(one.manifest.digest));
    await removeScratchFolder(source);
    const { client } = await serve();
    await expectPulls(client, 'team/app', one, '1');
    expect(bytes.equals(one.manifest.bytes)).toBe(true);
  });
});
