import { mkdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HookOptions } from '../../../src/index.js';
import { postJob, runJob, type JobDocument } from '../../support/clients/jobs.js';
import { digest, pushManifest } from '../../support/content/content.js';
import { complete, ImportScene, manyImages, type ImportJob } from '../../support/migration/import-scene.js';
import { photograph } from '../../support/migration/old-registry.js';
import { runCommand } from '../../support/servers/run-command.js';
import { blobFile, pullsCompletely, pushSmallImage } from '../../support/storage/backup-scene.js';
import { imageOf, type Image } from '../../support/storage/domain.js';

const one = imageOf('one', [Buffer.from('shared layer'), Buffer.from('another layer')]);
const two = imageOf('two', [Buffer.from('shared layer')]);

let scene: ImportScene;
beforeEach(async () => {
  scene = await ImportScene.open();
});
afterEach(() => scene.dispose());

async function restart(options: Parameters<ImportScene['start']>[0]): Promise<void> {
  await scene.stop();
  await scene.start(options);
}

async function pushOld(): Promise<void> {
  await scene.old.putImage('team/app', one, ['1', 'latest'], 1_600_000_000_000);
  await scene.old.putImage('busybox', two, ['1']);
}

async function waitFor(id: string): Promise<ImportJob> {
  let job: JobDocument | undefined;
  await expect
    .poll(
      async () => {
        job = (await scene.client.get(`/api/v1/jobs/${id}`)).json() as JobDocument;
        return job.state;
      },
      { interval: 5 },
    )
    .not.toBe('running');
  return job as unknown as ImportJob;
}

/** A hook that waits at the third manifest until it is released. */
function pausingHook(): { hooks: HookOptions; reached: Promise<void>; release: () => void } {
  let [onReached, release] = [(): void => {}, (): void => {}];
  const reached = new Promise<void>((resolve) => (onReached = resolve));
  const released = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
  let asked = 0;
  const beforeManifestPut = async (): Promise<undefined> => {
    asked += 1;
    if (asked !== 3) return undefined;
    onReached();
    return released;
  };
  const hooks = { timeoutSeconds: 60, beforeManifestPut };
  return { hooks, reached, release: () => release() };
}

/** Starts an import of eight images, which waits at the third one until it is released. */
async function startPausedImport(
  put = (image: Image, i: number): Promise<unknown> => scene.old.putImage(`app${i}`, image, ['1']),
): Promise<{ id: string; images: readonly Image[]; release: () => void }> {
  const { hooks, reached, release } = pausingHook();
  await restart({ hooks });
  const images = manyImages(8);
  for (const [i, image] of images.entries()) await put(image, i);
  const { id } = (
    await postJob(scene.client, { kind: 'import', folder: 'distribution', repository: 'local' })
  ).json() as JobDocument;
  await reached;
  return { id, images, release };
}

describe('the job import', () => {
  it('imports a folder by links while the registry runs, and adds nothing when it runs again', async () => {
    await pushOld();
    const before = await photograph(scene.old.root, { links: false });
    const job = await scene.import();
    expect(job).toMatchObject({
      state: 'succeeded',
      kind: 'import',
      done: 2,
      total: 2,
      unit: 'images',
      report: {
        folder: 'distribution',
        format: 'distribution',
        repository: 'local',
        images: 2,
        manifests: { added: 2, present: 0 },
        tags: { added: 3, present: 0, kept: 0 },
        blobs: { added: 6, copied: 0, copied_bytes: 0 },
        problem_count: 0,
        problems: [],
      },
    });
    expect(await scene.pull('local/team/app', 'latest', one)).toEqual(complete(one));
    expect(await scene.pull('local/busybox', '1', two)).toEqual(complete(two));
    const { ino } = await stat(blobFile(scene.registry.folder, one.manifest.bytes));
    expect(ino).toBe((await stat(scene.old.data(one.manifest.digest))).ino);
    expect(await photograph(scene.old.root, { links: false })).toEqual(before);
    expect((await scene.import({ folder: scene.old.root })).report).toMatchObject({
      manifests: { added: 0, present: 2 },
      tags: { added: 0, present: 3 },
      blobs: { added: 0 },
    });
    const { events } = (await scene.client.get('/api/v1/events')).json() as {
      events: { type: string; by: { via: string } }[];
    };
    expect(events.filter(({ type }) => type === 'manifest.pushed').map(({ by }) => by.via)).toEqual(['job', 'job']);
  });

  it('writes nothing in a dry run, and copies on request', async () => {
    await pushOld();
    const dry = await scene.import({ dry_run: true });
    expect(dry).toMatchObject({ state: 'succeeded', dry_run: true, report: { manifests: { added: 2 } } });
    expect((await scene.client.get('/v2/_catalog')).json()).toEqual({ repositories: [] });
    expect((await scene.import({ copy: true, verify: true })).report).toMatchObject({ blobs: { copied: 6 } });
    expect((await stat(blobFile(scene.registry.folder, one.manifest.bytes))).nlink).toBe(1);
  });

  it('lists problems without the paths of the machine, and imports the rest', async () => {
    await pushOld();
    await writeFile(scene.old.data(two.manifest.digest), 'other bytes');
    const job = await scene.import();
    const message = expect.stringMatching(/^distribution\/docker\/registry.* has the digest/) as string;
    expect(job).toMatchObject({
      state: 'partly',
      report: {
        problem_count: 1,
        problems: [{ image: 'busybox', tags: ['1'], manifest: two.manifest.digest, problem: 'wrong-digest', message }],
      },
    });
    expect(JSON.stringify(job)).not.toContain(scene.root);
    expect(await scene.pull('local/team/app', '1', one)).toEqual(complete(one));
  });

  it('keeps tags that were pushed here later, and immutable ones', async () => {
    await restart({ repositories: [{ name: 'local', type: 'local', immutableTags: ['v*'] }] });
    const [mine, fixed] = [
      await pushSmallImage(scene.client, 'local/app', '1'),
      await pushSmallImage(scene.client, 'local/app', 'v1'),
    ];
    await scene.old.putImage('app', one, ['1'], 1_600_000_000_000);
    await scene.old.putImage('app', one, ['v1'], Date.now() + 3_600_000);
    expect((await scene.import()).report).toMatchObject({ tags: { added: 0, kept: 2 } });
    expect([await pullsCompletely(scene.client, mine), await pullsCompletely(scene.client, fixed)]).toEqual([
      true,
      true,
    ]);
  });
});

describe('artifactapi import-registry of a running registry', () => {
  it('starts the job and prints the same report as for a stopped registry', async () => {
    await pushOld();
    const args = ['import-registry', 'distribution', '--into', 'local', '--url', scene.registry.url];
    const { code, stdout, stderr } = await runCommand(args);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')).toEqual([
      'imported distribution (CNCF distribution) into local',
      '  images: 2',
      '  manifests: 2 added, 0 present',
      '  tags: 3 added, 0 present',
      expect.stringContaining('  files: 6 added ('),
      '',
    ]);
  });

  it('lists problems and exits with 3; prints the job as JSON', async () => {
    await pushOld();
    await writeFile(scene.old.data(two.manifest.digest), 'other bytes');
    const args = ['import-registry', 'distribution', '--into', 'local', '--dry-run'];
    const env = { ARTIFACTAPI_URL: scene.registry.url };
    const text = await runCommand(args, { env });
    expect(text.code).toBe(3);
    expect(text.stdout).toMatch(/^busybox:1 {2}wrong-digest: distribution\/docker/);
    expect(text.stdout).toContain('problems: 1, listed above; the rest can be imported');
    const json = await runCommand([...args, '--json'], { env });
    expect([json.code, JSON.parse(json.stdout)]).toMatchObject([3, { kind: 'import', state: 'partly', dry_run: true }]);
  });
});

describe('an import that is refused', () => {
  it.each<{ what: string; document: object; status: number; problem: RegExp }>([
    {
      what: 'a folder outside',
      document: { folder: '/etc' },
      status: 400,
      problem: /inside a folder that imports.folders names/,
    },
    { what: 'a path that leads out', document: { folder: '../data' }, status: 400, problem: /inside a folder that/ },
    {
      what: 'a sibling with a similar name',
      document: { folder: '../older' },
      status: 400,
      problem: /inside a folder that/,
    },
    { what: 'no folder', document: { folder: undefined }, status: 400, problem: /must be the path of a folder/ },
    {
      what: 'a folder with a zero byte',
      document: { folder: 'a\0b' },
      status: 400,
      problem: /must be the path of a folder/,
    },
    {
      what: 'no repository',
      document: { repository: undefined },
      status: 400,
      problem: /must be the name of a repository/,
    },
    {
      what: 'a name that no repository has',
      document: { repository: 'A/b' },
      status: 400,
      problem: /must be the name/,
    },
    { what: 'an unknown parameter', document: { move: true }, status: 400, problem: /unknown option/ },
  ])('answers at once to $what', async ({ document, status, problem }) => {
    const answer = await postJob(scene.client, {
      kind: 'import',
      folder: 'distribution',
      repository: 'local',
      ...document,
    });
    expect([answer.status, answer.body.toString()]).toEqual([status, expect.stringMatching(problem)]);
  });

  it('answers 403 and names the option where no folder is configured', async () => {
    await pushOld();
    await restart({ imports: {} });
    const answer = await postJob(scene.client, { kind: 'import', folder: scene.old.root, repository: 'local' });
    expect([answer.status, answer.body.toString()]).toEqual([403, expect.stringContaining('imports.folders')]);
  });

  it.each<{ what: string; document?: object; prepare?: () => Promise<unknown>; error: string }>([
    { what: 'a missing folder', document: { folder: 'nope' }, error: '"nope" is not a folder' },
    {
      what: 'a folder without a registry',
      document: { folder: 'empty' },
      error: 'no registry in empty: expected docker/registry/v2',
    },
    { what: 'an unknown repository', document: { repository: 'nope' }, error: 'unknown repository "nope"' },
    { what: 'a virtual repository', document: { repository: 'all' }, error: 'repository "all" is virtual' },
    {
      what: 'a symbolic link that leads out',
      document: { folder: 'link' },
      prepare: () => symlink(path.join(scene.root, 'elsewhere'), path.join(scene.folders, 'link')),
      error: '"link" leads out of the folder that imports.folders names',
    },
    {
      what: 'a symbolic link to the data folder',
      document: { folder: 'data' },
      prepare: () => symlink(path.join(scene.root, 'data'), path.join(scene.folders, 'data')),
      error: '"data" leads out of the folder that imports.folders names',
    },
    {
      what: 'a folder whose repositories are elsewhere',
      prepare: async () => {
        const inside = path.join(scene.old.root, 'docker', 'registry', 'v2', 'repositories');
        await rename(inside, path.join(scene.root, 'elsewhere', 'repositories'));
        await symlink(path.join(scene.root, 'elsewhere', 'repositories'), inside);
      },
      error: 'leads out of the folder that may be read',
    },
  ])('fails for $what, and stores nothing', async ({ document = {}, prepare, error }) => {
    await restart({
      repositories: [
        { name: 'local', type: 'local' },
        { name: 'all', type: 'virtual', members: ['local'] },
      ],
    });
    await pushOld();
    await mkdir(path.join(scene.root, 'elsewhere'));
    await mkdir(path.join(scene.folders, 'empty'));
    await prepare?.();
    const job = await scene.import(document);
    expect([job.state, job.error]).toEqual(['failed', expect.stringContaining(error)]);
    expect(job.error).not.toContain(scene.root);
    expect((await scene.client.get('/v2/_catalog')).json()).toEqual({ repositories: [] });
  });

  it('fails when the folder for imports leads to one around the data folder', async () => {
    const around = path.join(scene.root, 'around');
    await symlink(scene.root, around);
    await pushOld();
    // Compared as text, the folders do not overlap.
    await restart({ imports: { folders: [around] } });
    const job = await scene.import({ folder: 'old/distribution' });
    expect([job.state, job.error]).toEqual([
      'failed',
      'the folder for imports and the data folder overlap: neither may be inside the other',
    ]);
  });

  it('does not read files that symbolic links in the folder name outside of it', async () => {
    await pushOld();
    const shared = two.blobs.find((bytes) => one.blobs.some((other) => other.equals(bytes))) ?? Buffer.alloc(0);
    const outside = path.join(scene.root, 'secret');
    const file = scene.old.data(digest(shared));
    await rename(file, outside);
    await symlink(outside, file);
    const job = await scene.import();
    const message = expect.stringMatching(/^distribution.* leads out of the folder that may be read$/) as string;
    expect(job.report).toMatchObject({
      manifests: { added: 0 },
      problem_count: 2,
      problems: [
        { image: 'busybox', problem: 'unreadable', message },
        { image: 'team/app', problem: 'unreadable', message },
      ],
    });
  });
});

describe('an import into a running registry', () => {
  it('asks the hook for manifests, which can read the config, then lists and collects what it refuses', async () => {
    const asked: [string, readonly string[], string][] = [];
    await restart({
      garbageCollection: { graceSeconds: 0, intervalSeconds: 0 },
      hooks: {
        beforeManifestPut: async ({ image, manifest, tags, actor, read }) => {
          const config = await read.blob(manifest.config?.digest ?? '');
          asked.push([image.image, tags, `${actor.via} ${config === undefined ? 'no config' : 'config'}`]);
          return image.image === 'busybox' ? { refuse: 'no busybox here' } : undefined;
        },
      },
    });
    await pushOld();
    const job = await scene.import();
    expect(asked).toEqual([
      ['busybox', ['1'], 'job config'],
      ['team/app', ['1', 'latest'], 'job config'],
    ]);
    expect(job).toMatchObject({
      state: 'partly',
      report: {
        manifests: { added: 1 },
        tags: { added: 2 },
        problems: [
          {
            image: 'busybox',
            tags: ['1'],
            problem: 'refused',
            message: expect.stringContaining('no busybox here') as string,
          },
        ],
      },
    });
    expect(await scene.pull('local/team/app', '1', one)).toEqual(complete(one));
    await runJob(scene.client, { kind: 'garbage' });
    const own = two.blobs.find((bytes) => !one.blobs.some((other) => other.equals(bytes))) ?? Buffer.alloc(0);
    expect(await scene.pull('local/team/app', '1', one)).toEqual(complete(one));
    await expect(stat(blobFile(scene.registry.folder, own))).rejects.toThrow('ENOENT');
  });

  it('asks the hook for tags about those that move', async () => {
    const asked: string[] = [];
    await restart({
      hooks: {
        beforeTagMove: ({ image, tag, manifest }) => {
          asked.push(`${image.image}:${tag} ${manifest.bytes.length > 0}`);
          return tag === 'latest' ? { refuse: 'no latest' } : undefined;
        },
      },
    });
    await pushOld();
    const job = await scene.import();
    expect(asked).toEqual(['busybox:1 true', 'team/app:1 true', 'team/app:latest true']);
    expect(job.report).toMatchObject({
      tags: { added: 2 },
      problems: [{ image: 'team/app', tags: ['latest'], problem: 'refused' }],
    });
    expect(await scene.pull('local/team/app', '1', one)).toEqual(complete(one));
    expect((await scene.client.head('/v2/local/team/app/manifests/latest')).status).toBe(404);
  });

  it('obeys the quotas: imports what fits and lists the rest', async () => {
    const images = manyImages(6);
    for (const [i, image] of images.entries()) await scene.old.putImage('app', image, [`t${i}`]);
    const [first] = images;
    const sizeOf = (all: readonly Buffer[]): number => all.reduce((sum, { length }) => sum + length, 0);
    const each = sizeOf(first?.blobs ?? []) + (first?.manifest.bytes.length ?? 0);
    await restart({ quotas: [{ names: 'local/**', maxBytes: each * 3 }] });
    const { report } = await scene.import();
    expect(report.manifests.added).toBeGreaterThanOrEqual(3);
    expect(report.manifests.added + report.problem_count).toBe(6);
    expect(report.problems.map(({ problem, message }) => [problem, message.slice(0, 9)])).toEqual(
      report.problems.map(() => ['refused', 'the quota']),
    );
    const { quotas } = (await scene.client.get('/api/v1/quotas')).json() as {
      quotas: { used_bytes: number; limit_bytes: number }[];
    };
    expect(quotas[0]?.used_bytes).toBeLessThanOrEqual(each * 3);
    // A refused import leaves nothing behind.
    const kept = await Promise.all(images.map((image, i) => scene.pull('local/app', `t${i}`, image)));
    const gone = images.filter((_, i) => kept[i]?.[0] === 404);
    expect(gone).toHaveLength(report.problem_count);
    for (const { manifest } of gone) {
      await expect(stat(blobFile(scene.registry.folder, manifest.bytes))).rejects.toThrow('ENOENT');
    }
  });
});

describe('an import that is interrupted', () => {
  it('continues by itself after a restart', async () => {
    const { id, images, release } = await startPausedImport();
    const closed = scene.stop();
    release();
    await closed;
    await scene.start();
    const job = await waitFor(id);
    expect(job).toMatchObject({ state: 'succeeded', resumes: expect.any(Number) as number, report: { images: 8 } });
    expect(job.report.manifests.present).toBeGreaterThanOrEqual(2);
    expect(job.report.manifests.added + job.report.manifests.present).toBe(8);
    for (const [i, image] of images.entries()) {
      expect(await scene.pull(`local/app${i}`, '1', image)).toEqual(complete(image));
    }
  });

  it('keeps what it stored when it is cancelled, and another import continues', async () => {
    const { id, release } = await startPausedImport();
    expect((await postJob(scene.client, { kind: 'import', folder: 'distribution', repository: 'local' })).status).toBe(
      409,
    );
    expect((await scene.client.delete(`/api/v1/jobs/${id}`)).status).toBe(202);
    release();
    expect((await waitFor(id)).state).toBe('cancelled');
    const { report } = await scene.import();
    expect(report.manifests.present).toBeGreaterThanOrEqual(2);
    expect(report.manifests.added + report.manifests.present).toBe(8);
  });

  it('fails when its folder may no longer be read', async () => {
    const { id, release } = await startPausedImport();
    const closed = scene.stop();
    release();
    await closed;
    await scene.start({ imports: {} });
    expect(await waitFor(id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('imports.folders') as string,
    });
  });
});

describe('a push during an import', () => {
  it('of the same tag wins, and the import keeps it', async () => {
    const { id, release } = await startPausedImport((image, i) =>
      scene.old.putImage('app', image, [`t${i}`], 1_600_000_000_000),
    );
    const pushed = await pushSmallImage(scene.client, 'local/app', 't7');
    await pushManifest(scene.client, 'local/app', 'mine', pushed.manifest);
    release();
    expect(await waitFor(id)).toMatchObject({ state: 'succeeded', report: { tags: { added: 7, kept: 1 } } });
    expect(await pullsCompletely(scene.client, pushed)).toBe(true);
    expect(await pullsCompletely(scene.client, { ...pushed, tag: 'mine' })).toBe(true);
  });
});
