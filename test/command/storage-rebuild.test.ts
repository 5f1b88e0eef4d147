import { rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/composition/runtime.js';
import { rebuildStorage } from '../../src/composition/stores/storage-rebuild.js';
import type { RegistryOptions } from '../../src/index.js';
import type { MigrationProblem } from '../../src/ports/operations/migration.js';
import { Client } from '../support/clients/client.js';
import {
  describeManifest,
  digest,
  imageManifest,
  indexManifest,
  manifestOf,
  pushBlob,
  pushManifest,
  describeBytes,
  types,
  type Manifest,
} from '../support/content/content.js';
import { documentsOf, runCommand } from '../support/servers/run-command.js';
import { recordingLogger, startRegistry, type TestRegistry } from '../support/servers/registry.js';
import {
  blobFile,
  flipByte,
  listFiles,
  pushSmallImage,
  quiet,
  type PushedImage,
} from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let folder: string;
let data: string;
beforeEach(async () => {
  folder = await makeScratchFolder();
  data = join(folder, 'data');
});
afterEach(() => removeScratchFolder(folder));

/** Runs a registry on the data folder while `work` uses it. */
async function serve<T>(
  work: (client: Client, server: TestRegistry) => Promise<T>,
  options: Partial<RegistryOptions> = {},
): Promise<T> {
  const server = await startRegistry({ ...quiet, ...options, storage: data });
  const client = new Client(server.url);
  try {
    return await work(client, server);
  } finally {
    await client.close();
    await server.close();
  }
}

const loseIndex = (): Promise<void> => rm(join(data, 'index'), { recursive: true });
const rebuild = (...flags: readonly string[]) =>
  runCommand(['storage', 'rebuild', '--data', data, '--repository', 'local', ...flags]);

/** Returns whether an image can be pulled by its digest. */
async function pulls(client: Client, { manifest, config, layer }: PushedImage, name: string): Promise<boolean> {
  const pulled = await client.get(`/v2/${name}/manifests/${manifest.digest}`);
  if (pulled.status !== 200 || !pulled.body.equals(manifest.bytes)) return false;
  for (const bytes of [config, layer]) {
    const blob = await client.get(`/v2/${name}/blobs/${digest(bytes)}`);
    if (blob.status !== 200 || !blob.body.equals(bytes)) return false;
  }
  return true;
}

/** Makes blobs old enough for the quarantine. */
async function age(...blobs: readonly Buffer[]): Promise<void> {
  for (const bytes of blobs) await utimes(blobFile(data, bytes), 1000, 1000);
}

const refName = 'org.opencontainers.image.ref.name';

describe('a rebuild of a data folder', () => {
  it('recovers all manifests as one image, with indexes and lists of referrers but without tags', async () => {
    const { images, index, signature } = await serve(async (client) => {
      const first = await pushSmallImage(client, 'local/a', '1');
      const list = indexManifest([describeManifest(first.manifest)]);
      await pushManifest(client, 'local/a', 'all', list);
      await pushBlob(client, 'local/a', Buffer.from('{}'));
      const referrer = manifestOf(types.ociImage, {
        artifactType: 'application/x.signature',
        config: describeBytes(types.empty, Buffer.from('{}')),
        layers: [],
        subject: describeManifest(first.manifest),
      });
      await pushManifest(client, 'local/a', referrer.digest, referrer);
      return { images: [first, await pushSmallImage(client, 'local/team/b', '1')], index: list, signature: referrer };
    });
    await loseIndex();
    const { code, stdout, stderr } = await rebuild();
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^rebuilt the index as the image local\/recovered\n {2}objects: 9, .*\n {2}blobs: 5\n {2}manifests: 4 recorded\n {2}tags: 0 recorded\n$/,
    );
    await serve(async (client) => {
      for (const image of images) expect(await pulls(client, image, 'local/recovered')).toBe(true);
      expect((await client.get(`/v2/local/recovered/manifests/${index.digest}`)).body).toEqual(index.bytes);
      const referrers = await client.get(`/v2/local/recovered/referrers/${images[0]?.manifest.digest}`);
      expect(referrers.json()).toMatchObject({ manifests: [{ digest: signature.digest }] });
      expect((await client.get('/v2/local/recovered/tags/list')).json()).toMatchObject({ tags: [] });
      expect((await client.get('/v2/local/a/manifests/1')).status).toBe(404);
    });
  });

  it('creates tags from annotations of manifests and of the descriptors in an index with --tags, the newest first', async () => {
    const [old, current, child] = await serve(async (client) => {
      await pushBlob(client, 'local/a', Buffer.from('{}'));
      const annotated = (name: string, label: string) =>
        manifestOf(types.ociImage, {
          config: describeBytes(types.empty, Buffer.from('{}')),
          layers: [],
          annotations: { [refName]: name, label },
        });
      const manifests = [
        annotated('1.0', 'old'),
        annotated('docker.io/library/a:1.0', 'new'),
        annotated('not a tag', ''),
      ];
      for (const manifest of manifests) await pushManifest(client, 'local/a', manifest.digest, manifest);
      const [, , last] = manifests as [Manifest, Manifest, Manifest];
      const descriptor = { ...describeManifest(last), annotations: { [refName]: 'child' } };
      await pushManifest(client, 'local/a', 'all', indexManifest([descriptor]));
      return manifests as [Manifest, Manifest, Manifest];
    });
    await age(old.bytes);
    await loseIndex();
    expect((await rebuild('--tags', '--image', 'team/found')).stdout).toContain('tags: 2 recorded');
    await serve(async (client) => {
      const tag = async (name: string) => digest((await client.get(`/v2/local/team/found/manifests/${name}`)).body);
      expect(await tag('1.0')).toBe(current.digest);
      expect(await tag('child')).toBe(child.digest);
    });
  });

  it('reports damaged files and the manifests that lack content with status 3, and recovers the rest', async () => {
    const [intact, changed, gone, sparse] = await serve(async (client) => {
      const list = indexManifest([describeManifest(imageManifest('never pushed'))]);
      await pushManifest(client, 'local/a', 'list', list);
      const push = (tag: string): Promise<PushedImage> => pushSmallImage(client, 'local/a', tag);
      return [await push('1'), await push('2'), await push('3'), list] as const;
    });
    await flipByte(blobFile(data, changed.layer));
    await rm(blobFile(data, gone.config));
    await loseIndex();
    const dryRun = await rebuild('--dry-run');
    expect([dryRun.code, dryRun.stdout]).toEqual([
      3,
      expect.stringContaining('incomplete manifests, which were not recorded: 2'),
    ]);
    const { code, stdout } = await rebuild('--json');
    expect(code).toBe(3);
    const [report] = documentsOf(stdout);
    expect(report).toMatchObject({
      objects: 9,
      // Like a push, the repository accepts an index without its children.
      manifests: { added: 2, present: 0 },
      damaged: [
        {
          expected: digest(changed.layer),
          problem: 'digest',
          name: expect.stringContaining('blobs/sha256/') as string,
        },
      ],
    });
    const incomplete = report?.['incomplete'] as readonly MigrationProblem[] | undefined;
    const found = incomplete?.map(({ manifest, blob, problem }) => [manifest, blob, problem].join(' ')) ?? [];
    expect(found.toSorted()).toEqual(
      [
        `${changed.manifest.digest} ${digest(changed.layer)} wrong-digest`,
        `${gone.manifest.digest} ${digest(gone.config)} missing-blob`,
      ].toSorted(),
    );
    await serve(async (client) => {
      expect(await pulls(client, intact, 'local/recovered')).toBe(true);
      expect((await client.get(`/v2/local/recovered/manifests/${sparse.digest}`)).status).toBe(200);
      expect((await client.get(`/v2/local/recovered/manifests/${changed.manifest.digest}`)).status).toBe(404);
    });
  });

  it('changes nothing in the folder with --dry-run', async () => {
    await serve((client) => pushSmallImage(client, 'local/a', '1'));
    await loseIndex();
    const before = await listFiles(data);
    const { code, stdout } = await rebuild('--dry-run');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^dry run: would rebuild [^]* {2}manifests: 1 to record\n/);
    expect(await listFiles(data)).toEqual(before);
    await expect(serve(async () => undefined)).rejects.toThrow('is missing');
  });

  it('finds the blobs that an empty index has moved to the quarantine', async () => {
    const image = await serve((client) => pushSmallImage(client, 'local/a', '1'));
    await age(image.manifest.bytes, image.config, image.layer);
    await loseIndex();
    await serve(
      async (_client, { registry }) => {
        expect(await registry.collectGarbage({ graceSeconds: 0 })).toMatchObject({ quarantined: 3 });
      },
      { acceptEmptyIndex: true },
    );
    expect((await rebuild()).stdout).toContain('manifests: 1 recorded');
    await serve(async (client) => expect(await pulls(client, image, 'local/recovered')).toBe(true));
  });

  it('can be repeated until the registry starts, and leaves other content to the quarantine', async () => {
    const unnamed = Buffer.from('no manifest names this');
    const image = await serve(async (client) => {
      await pushBlob(client, 'local/a', unnamed);
      return pushSmallImage(client, 'local/a', '1');
    });
    await age(unnamed);
    await loseIndex();
    await rebuild();
    expect((await rebuild()).stdout).toContain('manifests: 0 recorded, 1 from an earlier run');
    await serve(async (client, { registry }) => {
      expect(await registry.collectGarbage({ graceSeconds: 0 })).toMatchObject({ quarantined: 1, blobsDeleted: 0 });
      expect(await pulls(client, image, 'local/recovered')).toBe(true);
    });
    expect(await rebuild()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the index is not empty') as string,
    });
  });

  it('that stopped keeps the registry from starting until another run is complete', async () => {
    const image = await serve((client) => pushSmallImage(client, 'local/a', '1'));
    await loseIndex();
    const stop = new AbortController();
    const options = { repository: 'local', image: 'recovered', hasTags: false, adopts: false, dryRun: false };
    const onProgress = (): void => stop.abort(new Error('stopped'));
    const registry = { ...quiet, storage: data, repositories: quiet.repositories ?? [] };
    const running = rebuildStorage(
      registry,
      { ...options, signal: stop.signal, onProgress },
      createRuntime(recordingLogger()),
    );
    await expect(running).rejects.toThrow('stopped');
    await expect(serve(async () => undefined)).rejects.toThrow('run "artifactapi storage rebuild" again');
    expect((await rebuild()).code).toBe(0);
    await serve(async (client) => expect(await pulls(client, image, 'local/recovered')).toBe(true));
  });
});

describe('a rebuild is refused', () => {
  const lose = async (): Promise<void> => {
    await serve((client) => pushSmallImage(client, 'local/a', '1'));
    await loseIndex();
  };
  const config = async (text: string): Promise<string> => {
    await writeFile(join(folder, 'config.yaml'), text);
    return join(folder, 'config.yaml');
  };

  it.each<[problem: string, code: number, message: string, prepare: () => Promise<readonly string[]>]>([
    [
      'for an unknown repository',
      1,
      'unknown repository "other": the registry has local',
      async () => {
        await lose();
        return ['--data', data, '--repository', 'other'];
      },
    ],
    [
      'for a repository that is not local',
      1,
      'repository "hub" is remote: import into a local repository',
      async () => {
        await lose();
        const file = await config('repositories: [{ name: hub, type: remote, upstream: docker.io }]');
        return ['--data', data, '--config', file, '--repository', 'hub'];
      },
    ],
    [
      'for an index with images',
      1,
      'the index is not empty',
      async () => {
        await serve((client) => pushSmallImage(client, 'local/a', '1'));
        return ['--data', data, '--repository', 'local'];
      },
    ],
    [
      'for an index with images, also in a dry run',
      1,
      'the index is not empty',
      async () => {
        await serve((client) => pushSmallImage(client, 'local/a', '1'));
        return ['--data', data, '--repository', 'local', '--dry-run'];
      },
    ],
    [
      'for a damaged index, which may be repaired',
      1,
      'artifactapi repair --data',
      async () => {
        await serve((client) => pushSmallImage(client, 'local/a', '1'));
        await rm(join(data, 'index', 'CURRENT'));
        return ['--data', data, '--repository', 'local'];
      },
    ],
    [
      'for a folder without blobs',
      1,
      'is not a data folder: it has no folder blobs',
      async () => ['--data', join(folder, 'typo'), '--repository', 'local'],
    ],
    ['without storage', 2, 'name the storage with --config <file>', async () => ['--repository', 'local']],
    ['without a repository', 2, '--repository <name> is required', async () => ['--data', data]],
    [
      'for an invalid name of the image',
      2,
      '"local/UPPER" is not a valid name',
      async () => ['--data', data, '--repository', 'local', '--image', 'UPPER'],
    ],
    [
      'without its config file',
      1,
      'cannot read the config file',
      async () => ['--config', join(folder, 'nothing.yaml'), '--repository', 'local'],
    ],
  ])('%s', async (_problem, code, message, prepare) => {
    const flags = await prepare();
    const before = await listFiles(folder);
    const result = await runCommand(['storage', 'rebuild', ...flags]);
    expect([result.code, result.stdout]).toEqual([code, '']);
    expect(result.stderr).toContain(message);
    const hasOpened = message.includes('not empty');
    if (!hasOpened) expect(await listFiles(folder)).toEqual(before);
  });

  it('while the registry runs', async () => {
    await serve(async () => {
      expect(await rebuild()).toMatchObject({ code: 1, stderr: expect.stringContaining('index open') as string });
    });
  });
});
