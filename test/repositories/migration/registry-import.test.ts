import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRegistryFolder } from '../../../src/archives/folders/registry-folder.js';
import type { MigrationOptions, MigrationProblem, MigrationReport } from '../../../src/ports/operations/migration.js';
import type { Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { importRegistry, type MigrationParts } from '../../../src/repositories/migration/registry-import.js';
import { KeyedMutex } from '../../../src/util/scheduling/concurrency.js';
import { describeBytes, digest, manifestOf, types } from '../../support/content/content.js';
import { DistributionFolder, photograph, ZotFolder } from '../../support/migration/old-registry.js';
import {
  anyone,
  Domain,
  hooked,
  imageOf,
  indexOf,
  isApplyOf,
  keyOf,
  missingOf,
  once,
  parsed,
  pushBlobs,
  pushImage,
  type Image,
} from '../../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const by = { principal: 'importer', via: 'code' } as const;
let domain: Domain;
let root: string;
let old: DistributionFolder;
let zot: ZotFolder;
beforeEach(async () => {
  domain = await Domain.open();
  await domain.addRepository('local');
  root = await makeScratchFolder();
  old = new DistributionFolder(root);
  zot = new ZotFolder(root);
});
afterEach(async () => {
  await domain.dispose();
  await removeScratchFolder(root);
});

interface Outcome extends MigrationReport {
  readonly list: readonly MigrationProblem[];
}

async function run(options: Partial<MigrationOptions> = {}, parts: Partial<MigrationParts> = {}): Promise<Outcome> {
  const list: MigrationProblem[] = [];
  const { metadata, blobs, runtime } = domain;
  const report = await importRegistry(
    { metadata, blobs, runtime, digestLocks: new KeyedMutex(), ...parts },
    await openRegistryFolder(root),
    { repository: 'local', by, onProblem: (problem) => void list.push(problem), ...options },
  );
  return { ...report, list };
}

/** What a pull of an image misses. */
function missing(name: string, { manifest }: Pick<Image, 'manifest'>): Promise<string[]> {
  return missingOf(domain.repository('local'), name, manifest);
}

async function tagOf(name: string, tag: string): Promise<string | undefined> {
  return (await domain.metadata.tag(keyOf('local', name), parseTag(tag)))?.digest;
}

const layers = [Buffer.from('shared layer'), Buffer.from('another layer')];
const one = imageOf('one', layers);
const two = imageOf('two', layers.slice(0, 1));
const index = indexOf([one.manifest, two.manifest]);

async function pushOld(): Promise<void> {
  await old.putImage('team/app', one, ['1', 'latest'], 1_600_000_000_000);
  await old.putImage('team/app', two, [], 1_600_000_001_000);
  await old.putManifest('team/app', index, ['all'], 1_600_000_002_000);
  await old.putImage('busybox', two, ['1']);
}

describe('importRegistry', () => {
  it('imports every manifest, tagged or not, with tags and times of a distribution folder', async () => {
    await pushOld();
    const before = await photograph(root);
    const report = await run();
    expect(report).toMatchObject({
      format: 'distribution',
      images: 2,
      manifests: { added: 4, present: 0 },
      tags: { added: 4, present: 0, kept: 0 },
      // Two configs, two layers, three manifests.
      blobs: { added: 7, copied: 0 },
      problems: 0,
    });
    for (const image of [one, two, { manifest: index }]) expect(await missing('team/app', image)).toEqual([]);
    expect(await missing('busybox', two)).toEqual([]);
    expect(await missing('busybox', one)).not.toEqual([]);
    expect([await tagOf('team/app', 'latest'), await tagOf('team/app', 'all')]).toEqual([
      one.manifest.digest,
      index.digest,
    ]);
    const at = keyOf('local', 'team/app');
    expect(await domain.metadata.manifest(at, two.manifest.digest)).toMatchObject({ pushedAt: 1_600_000_001_000 });
    expect(await domain.metadata.tag(at, parseTag('1'))).toMatchObject({ updatedAt: 1_600_000_000_000 });
    expect(await photograph(root)).toEqual(before);
  });

  it('imports a folder of zot, with children of indexes and shared files', async () => {
    await zot.putImage('team/app', one, [], false);
    await zot.putImage('team/app', two, ['two'], false);
    await zot.putManifest('team/app', { ...index, type: index.mediaType }, ['all']);
    await zot.putImage('other', one, ['1']);
    const report = await run();
    expect(report).toMatchObject({
      format: 'layouts',
      images: 2,
      manifests: { added: 4 },
      tags: { added: 2 },
      problems: 0,
    });
    for (const image of [one, two, { manifest: index }]) expect(await missing('team/app', image)).toEqual([]);
    expect(await missing('other', one)).toEqual([]);
  });

  it('adds nothing when it runs again, or only the new content if some was added', async () => {
    await pushOld();
    await run();
    expect(await run()).toMatchObject({
      manifests: { added: 0, present: 4 },
      tags: { added: 0, present: 4 },
      blobs: { added: 0, bytes: 0 },
    });
    const three = imageOf('three', layers);
    await old.putImage('team/app', three, ['1'], domain.runtime.now() - 1000);
    expect(await run()).toMatchObject({ manifests: { added: 1, present: 4 }, tags: { added: 1 }, blobs: { added: 2 } });
    expect(await tagOf('team/app', '1')).toBe(three.manifest.digest);
  });

  it('keeps a tag that was pushed here after it moved in the folder', async () => {
    await pushOld();
    const newer = imageOf('newer', layers);
    await pushImage(domain.writer('local'), 'team/app', newer, '1');
    const report = await run();
    expect(report).toMatchObject({ tags: { added: 3, kept: 1 }, problems: 0 });
    expect(await tagOf('team/app', '1')).toBe(newer.manifest.digest);
    expect(await missing('team/app', one)).toEqual([]);
  });

  it('keeps an immutable tag that names another digest, and adds those that are missing', async () => {
    const config = { name: 'fixed', type: 'local', sparse: 'indexes', description: '', immutableTags: ['*'] } as never;
    await domain.metadata.apply([{ type: 'repository.put', config, origin: 'managed', when: 1 }], { durable: false });
    await old.putImage('app', one, ['1'], domain.runtime.now() - 2000);
    expect(await run({ repository: 'fixed' })).toMatchObject({ tags: { added: 1, kept: 0 } });
    await old.putImage('app', two, ['1', '2'], domain.runtime.now() - 1000);
    expect(await run({ repository: 'fixed' })).toMatchObject({ tags: { added: 1, kept: 1 }, problems: 0 });
    expect((await domain.metadata.tag(keyOf('fixed', 'app'), parseTag('1')))?.digest).toBe(one.manifest.digest);
  });

  it('leaves nothing for the garbage collector except content that another image drops', async () => {
    await pushOld();
    await run();
    await domain.collectAll();
    for (const image of [one, two, { manifest: index }]) expect(await missing('team/app', image)).toEqual([]);
  });

  it('records times of the future as now', async () => {
    await old.putImage('app', one, ['1'], domain.runtime.now() + 1_000_000);
    await run();
    const at = keyOf('local', 'app');
    expect((await domain.metadata.tag(at, parseTag('1')))?.updatedAt).toBe(domain.runtime.now());
    expect((await domain.metadata.manifest(at, one.manifest.digest))?.pushedAt).toBe(domain.runtime.now());
  });

  it('attributes the added content to its actor', async () => {
    await old.putImage('app', one, ['1']);
    await run();
    const entries = await domain.metadata.journal.read({ after: 0, limit: 10 });
    expect(entries.map(({ type, by: actor }) => [type, actor.principal])).toEqual([
      ['manifest.pushed', 'importer'],
      ['tag.moved', 'importer'],
    ]);
  });

  it('adds the earlier digests of a tag to its history, once', async () => {
    await old.putImage('app', one, ['1'], 1_600_000_000_000);
    await old.putImage('app', two, ['1'], 1_650_000_000_000);
    await old.putManifest('app', index, ['1', '2'], 1_700_000_000_000);
    const read = () => domain.metadata.journal.moves(keyOf('local', 'app'), parseTag('1'), { limit: 10 });
    expect((await run({ dryRun: true })).moves).toBe(2);
    expect((await run()).moves).toBe(2);
    const expected = [
      { move: 3, at: domain.runtime.now(), by, digest: index.digest },
      { move: 2, at: 1_650_000_000_000, by, digest: two.manifest.digest, was: one.manifest.digest },
      { move: 1, at: 1_600_000_000_000, by, digest: one.manifest.digest },
    ];
    expect(await read()).toEqual(expected);
    expect((await run()).moves).toBe(0);
    expect(await read()).toEqual(expected);
  });

  it('imports more manifests, tags and blobs than fit into one write', async () => {
    const all = Array.from({ length: 450 }, (_, i) => imageOf(`image ${i}`, layers));
    for (const [i, image] of all.entries()) await old.putImage('app', image, [`t${i}`]);
    const progress: number[] = [];
    const report = await run({ onProgress: ({ bytes }) => void progress.push(bytes) });
    expect(report).toMatchObject({ manifests: { added: 450 }, tags: { added: 450 }, problems: 0 });
    expect(progress.at(-1)).toBe(report.blobs.bytes);
    expect((await domain.metadata.image(keyOf('local', 'app')))?.tags).toBe(450);
    for (const image of all.slice(0, 5)) expect(await missing('app', image)).toEqual([]);
  });

  it('records an index of an index after the manifests that it names, also without sparse', async () => {
    await domain.addRepository('strict', { sparse: false });
    const outer = indexOf([index]);
    await old.putManifest('app', outer, ['outer']);
    await old.putManifest('app', index);
    for (const image of [one, two]) await old.putImage('app', image);
    const report = await run({ repository: 'strict' });
    expect(report).toMatchObject({ manifests: { added: 4 }, tags: { added: 1 }, problems: 0 });
  });

  it('links the children of an index that are blobs, as in a cache of BuildKit', async () => {
    const blob = Buffer.from('cached layer');
    const cache = parsed(manifestOf(types.ociIndex, { manifests: [describeBytes(types.ociLayer, blob)] }));
    await old.putBlob('cache', blob);
    await old.putManifest('cache', cache, ['buildcache']);
    expect(await run()).toMatchObject({ manifests: { added: 1 }, problems: 0 });
    expect(await domain.metadata.link(keyOf('local', 'cache'), digest(blob) as Digest)).toMatchObject({
      size: blob.length,
    });
  });

  it('copies on request, and then hashes the copies', async () => {
    await pushOld();
    const [config = Buffer.alloc(0)] = one.blobs;
    await writeFile(old.data(digest(config)), Buffer.alloc(config.length, 'x'));
    const report = await run({ copy: true });
    expect(report).toMatchObject({ manifests: { added: 3 }, blobs: { copied: report.blobs.added } });
    expect(report.list.map(({ problem }) => problem)).toEqual(['wrong-digest']);
    expect(domain.has(digest(config) as Digest)).toBe(false);
    expect([...domain.disk.staged.keys()]).toEqual([]);
  });

  it('copies files that the store cannot link', async () => {
    await pushOld();
    const blobs = Object.assign(Object.create(domain.blobs) as typeof domain.blobs, { adopt: async () => undefined });
    const proxy = new Proxy(domain.blobs, {
      get: (store, key) => {
        if (key === 'adopt') return blobs.adopt;
        const value: unknown = Reflect.get(store, key);
        return typeof value === 'function' ? (value.bind(store) as unknown) : value;
      },
    });
    expect(await run({}, { blobs: proxy })).toMatchObject({ blobs: { added: 7, copied: 7 }, problems: 0 });
    expect(await missing('team/app', one)).toEqual([]);
  });

  it('reports in a dry run what an import reports, and writes nothing', async () => {
    await pushOld();
    await truncate(old.data(digest(one.blobs[0] ?? '')), 3);
    const before = await photograph(root);
    const { startedAt: _a, finishedAt: _b, ...dry } = await run({ dryRun: true });
    expect(dry.manifests.added).toBe(3);
    expect(domain.disk.blobs.size).toBe(0);
    expect((await domain.metadata.images('local', { limit: 10 })).items).toEqual([]);
    expect(await photograph(root)).toEqual(before);
    const { startedAt: _c, finishedAt: _d, ...real } = await run();
    expect(dry).toEqual({ ...real, dryRun: true });
  });

  it('refuses an unknown repository, and one that is not local', async () => {
    await pushOld();
    await expect(run({ repository: 'other' })).rejects.toMatchObject({
      code: 'NAME_UNKNOWN',
      message: 'unknown repository "other": the registry has local',
    });
    const config = { name: 'all', type: 'virtual', description: '', members: ['local'], patterns: {}, reserved: [] };
    await domain.metadata.apply([{ type: 'repository.put', config: config as never, origin: 'managed', when: 1 }], {
      durable: false,
    });
    await expect(run({ repository: 'all' })).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(domain.disk.blobs.size).toBe(0);
  });
});

describe('importRegistry reports and leaves out', () => {
  const problemsOf = ({ list }: Outcome) =>
    list.map(({ image, tags, problem }) => `${image}:${tags.join(',')} ${problem}`);
  const layer = layers[1] ?? Buffer.alloc(0);
  const schema1 = Buffer.from(JSON.stringify({ schemaVersion: 1, name: 'app', tag: '1', fsLayers: [] }));
  const huge = Buffer.alloc(4 * 1024 * 1024 + 1, ' ');
  const odd = Buffer.from('{"schemaVersion":2,"mediaType":"text/plain"}');
  const put = (bytes: Buffer) => old.putManifest('team/app', { bytes, digest: digest(bytes) }, ['1']);

  it.each<{ what: string; spoil: () => Promise<unknown>; verify?: boolean; expected: string[] }>([
    { what: 'a manifest of schema 1', spoil: () => put(schema1), expected: ['team/app:1 schema-1'] },
    { what: 'another media type', spoil: () => put(odd), expected: ['team/app:1 invalid-manifest'] },
    { what: 'a manifest that is too large', spoil: () => put(huge), expected: ['team/app:1 invalid-manifest'] },
    {
      what: 'a manifest without bytes',
      spoil: () => rm(old.data(one.manifest.digest)),
      expected: ['team/app:1,latest missing-manifest'],
    },
    {
      what: 'a manifest with other bytes',
      spoil: () => writeFile(old.data(one.manifest.digest), two.manifest.bytes),
      expected: ['team/app:1,latest wrong-digest'],
    },
    {
      what: 'a tag whose manifest was deleted',
      spoil: () => rm(old.revisionLink('team/app', one.manifest.digest)),
      expected: ['team/app:1,latest missing-manifest'],
    },
    {
      what: 'a broken link of a revision',
      spoil: () => writeFile(old.revisionLink('team/app', one.manifest.digest), ''),
      expected: ['team/app:1,latest broken-link'],
    },
    {
      what: 'a broken link of a layer',
      spoil: () => writeFile(old.layerLink('team/app', digest(layer)), ''),
      expected: ['team/app:1,latest broken-link'],
    },
    {
      what: 'a layer that the image does not show',
      spoil: () => rm(old.layerLink('team/app', digest(layer))),
      expected: ['team/app:1,latest missing-blob'],
    },
    {
      what: 'a layer without bytes',
      spoil: () => rm(old.data(digest(layer))),
      expected: ['team/app:1,latest missing-blob'],
    },
    {
      what: 'a layer of another size',
      spoil: () => truncate(old.data(digest(layer)), 3),
      expected: ['team/app:1,latest wrong-size'],
    },
    {
      what: 'a layer with other bytes, with verify',
      spoil: () => writeFile(old.data(digest(layer)), Buffer.alloc(layer.length, 'x')),
      verify: true,
      expected: ['team/app:1,latest wrong-digest'],
    },
    {
      what: 'an invalid tag',
      spoil: () => old.putManifest('team/app', one.manifest, ['-1']),
      expected: ['team/app:-1 invalid-tag'],
    },
    {
      what: 'an invalid name',
      spoil: () => old.putImage('team/Upper', one, ['1']),
      expected: ['team/Upper: invalid-name'],
    },
    {
      what: 'a name that is too long with the repository',
      spoil: () => old.putImage(`team/${'x'.repeat(249)}`, one, ['1']),
      expected: [`team/${'x'.repeat(249)}: invalid-name`],
    },
  ])('$what', async ({ spoil, verify = false, expected }) => {
    await pushOld();
    await spoil();
    const outcome = await run({ verify });
    expect(problemsOf(outcome)).toEqual(expected);
    expect(outcome.problems).toBe(1);
    // Everything else is there.
    expect(await missing('team/app', two)).toEqual([]);
    expect(await missing('busybox', two)).toEqual([]);
    expect(await tagOf('team/app', 'all')).toBe(index.digest);
    for (const { digest: named } of (await domain.metadata.tags(keyOf('local', 'team/app'), { limit: 100 })).items) {
      expect(await domain.metadata.manifest(keyOf('local', 'team/app'), named)).toBeDefined();
      expect(domain.has(named)).toBe(true);
    }
  });

  it('nothing once the damaged folder is repaired', async () => {
    await pushOld();
    await truncate(old.data(digest(layer)), 3);
    expect((await run()).problems).toBe(1);
    await writeFile(old.data(digest(layer)), layer);
    expect(await run()).toMatchObject({ manifests: { added: 1, present: 3 }, tags: { added: 2 }, problems: 0 });
    expect(await missing('team/app', one)).toEqual([]);
  });

  it('an index without a child, if the repository does not accept it, and only its own tags', async () => {
    await domain.addRepository('strict', { sparse: false });
    await pushOld();
    await rm(old.data(digest(layer)));
    const outcome = await run({ repository: 'strict' });
    expect(problemsOf(outcome)).toEqual(['team/app:1,latest missing-blob', 'team/app:all missing-manifest']);
    expect(await domain.metadata.manifest(keyOf('strict', 'team/app'), index.digest)).toBeUndefined();
  });

  it('nothing for layers with urls that are not there', async () => {
    const foreign = { ...describeBytes(types.foreignLayer, layer), urls: ['https://example.com/layer'] };
    const image = imageOf('windows', [], {});
    const manifest = parsed(
      manifestOf(types.ociImage, { ...(JSON.parse(image.manifest.bytes.toString()) as object), layers: [foreign] }),
    );
    await old.putBlob('windows', image.blobs[0] ?? Buffer.alloc(0));
    await old.putManifest('windows', manifest, ['1']);
    expect(await run()).toMatchObject({ manifests: { added: 1 }, problems: 0 });
  });

  it('a file that cannot be read', async () => {
    await pushOld();
    await rm(old.data(one.manifest.digest));
    await mkdir(old.data(one.manifest.digest));
    expect(problemsOf(await run())).toEqual(['team/app:1,latest unreadable']);
  });
});

describe('importRegistry, interrupted or beside other requests', () => {
  it('stops when the signal aborts, and continues with another import', async () => {
    const all = Array.from({ length: 30 }, (_, i) => imageOf(`image ${i}`, layers));
    for (const [i, image] of all.entries()) await old.putImage(`app${i}`, image, ['1']);
    const stop = new AbortController();
    const stopped = run({
      signal: stop.signal,
      onProgress: ({ done }) => {
        if (done === 10) stop.abort(new Error('stopped by the test'));
      },
    });
    await expect(stopped).rejects.toThrow('stopped by the test');
    expect([...domain.disk.staged.keys()]).toEqual([]);
    expect(await run()).toMatchObject({ images: 30, problems: 0 });
    for (const [i, image] of all.entries()) expect(await missing(`app${i}`, image)).toEqual([]);
  });

  it('is complete after any failed write when it runs again', async () => {
    for (let failing = 0; ; failing++) {
      await domain.dispose();
      domain = await Domain.open();
      await domain.addRepository('local');
      await rm(root, { recursive: true });
      await pushOld();
      let calls = 0;
      const fail = async (): Promise<void> => {
        if (calls++ === failing) throw new Error('injected');
      };
      const parts = { blobs: hooked(domain.blobs, fail), metadata: hooked(domain.metadata, fail) };
      const failed = await run({}, parts).then(
        ({ problems }) => problems > 0,
        () => true,
      );
      expect((await run()).problems).toBe(0);
      for (const image of [one, two, { manifest: index }]) expect(await missing('team/app', image)).toEqual([]);
      if (!failed) return;
    }
  });

  it('takes a blob over again that the collector deleted before it was named', async () => {
    await pushOld();
    const known = digest(one.blobs[0] ?? '') as Digest;
    const digestLocks = new KeyedMutex();
    const runAll = digestLocks.runAll.bind(digestLocks);
    // As if the collector had held the lock first.
    digestLocks.runAll = async (keys, task) => {
      expect(await domain.blobs.delete(known)).toBe(true);
      return runAll(keys, task);
    };
    expect((await run({}, { digestLocks })).problems).toBe(0);
    expect(await missing('team/app', one)).toEqual([]);
  });

  it('takes a blob over that the image had when its manifest was read, and that was deleted since', async () => {
    await pushOld();
    const [config = Buffer.alloc(0)] = two.blobs;
    await pushBlobs(domain.writer('local'), 'busybox', [config]);
    const at = keyOf('local', 'busybox');
    const known = digest(config) as Digest;
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('manifest.put'), () =>
        domain.metadata.apply([{ type: 'blob.unlink', at, digest: known, when: domain.runtime.now() }], {
          durable: false,
        }),
      ),
    );
    expect((await run({}, { metadata })).problems).toBe(0);
    expect(await missing('busybox', two)).toEqual([]);
  });

  it('asks no hook again, and reports a conflict, when a tag moves after the hook decided', async () => {
    await old.putImage('busybox', two, ['1'], domain.runtime.now() + 10_000);
    const other = imageOf('other', layers);
    let asked = 0;
    const tagMove = async (): Promise<void> => {
      asked += 1;
      await pushImage(domain.writer('local'), 'busybox', other, '1');
      // The tag of the folder is newer.
      domain.runtime.advance(20_000);
    };
    const outcome = await run({}, { gate: { hooks: { tagMove }, quotas: domain.shared.quotas } });
    expect(asked).toBe(1);
    expect(outcome.list).toMatchObject([{ image: 'busybox', tags: ['1'], problem: 'conflict' }]);
    expect(await tagOf('busybox', '1')).toBe(other.manifest.digest);
  });

  it('tries again when a tag moves between the read and the write', async () => {
    await pushOld();
    await old.putImage('busybox', two, ['1'], domain.runtime.now() - 1000);
    const newer = imageOf('newer', layers);
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('tag.put'), () => pushImage(domain.writer('local'), 'busybox', newer, '1')),
    );
    expect(await run({}, { metadata })).toMatchObject({ tags: { kept: 1, added: 3 }, problems: 0 });
    expect(await tagOf('busybox', '1')).toBe(newer.manifest.digest);
  });

  it('imports the rest while some bytes are being deleted all the time', async () => {
    await pushOld();
    const [config = Buffer.alloc(0)] = one.blobs;
    await domain.metadata.apply([{ type: 'bytes.condemn', digest: digest(config) as Digest }], { durable: false });
    const outcome = await run();
    expect(outcome.list).toMatchObject([{ image: 'team/app', tags: ['1', 'latest'], problem: 'conflict' }]);
    expect(await missing('team/app', two)).toEqual([]);
    expect(await tagOf('team/app', 'all')).toBe(index.digest);
  });

  it('fails when the repository is deleted in the meantime', async () => {
    await pushOld();
    const metadata = hooked(
      domain.metadata,
      once(isApplyOf('manifest.put'), () => domain.deleteRepository('local')),
    );
    await expect(run({}, { metadata })).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
  });

  it('fails when the disk is full', async () => {
    await pushOld();
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const blobs = hooked(domain.blobs, async (method) => {
      if (method === 'adopt') throw full;
    });
    await expect(run({}, { blobs })).rejects.toThrow('no space');
  });

  it('explains a link that the system does not allow', async () => {
    await pushOld();
    const blobs = hooked(domain.blobs, async (method) => {
      if (method === 'adopt') throw Object.assign(new Error('link'), { code: 'EPERM' });
    });
    await expect(run({}, { blobs })).rejects.toThrow('run as the owner of the files or as root, or copy');
  });
});

describe('an imported image', () => {
  it('is deleted and collected without a change to the folder', async () => {
    await pushOld();
    const before = await photograph(root, { links: false });
    await run();
    for (const { digest: named } of [one.manifest, two.manifest, index]) {
      await domain.writer('local').deleteManifest(anyone, 'team/app', named);
    }
    await domain.collectAll();
    expect(await photograph(root, { links: false })).toEqual(before);
    expect(await readFile(path.join(old.data(one.manifest.digest)))).toEqual(one.manifest.bytes);
  });
});
