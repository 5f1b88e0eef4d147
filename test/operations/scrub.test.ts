import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scrub, type ScrubOptions, type ScrubParts, type ScrubState } from '../../src/operations/scrub.js';
import type { ContentRecords, ScrubReport } from '../../src/ports/operations/backup.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { someBytes } from '../support/content/content.js';
import { anyone, Domain, grace, hour, imageOf, once, pushImage, type Image } from '../support/storage/domain.js';

let domain: Domain;
beforeEach(async () => {
  domain = await Domain.open();
  await domain.addRepository('local');
  await domain.addRepository('other');
});
afterEach(() => domain.dispose());

const partsOf = (): ScrubParts => ({ ...domain.shared, graceMs: grace });
const run = (options: Partial<ScrubOptions> = {}): Promise<ScrubReport> =>
  scrub(partsOf(), { bytesPerSecond: Infinity, ...options });
const layers = (label: string, count = 3): Buffer[] =>
  Array.from({ length: count }, (_, i) => someBytes(`${label}-${i}`, 500));
const push = async (repository: string, name: string, label = name): Promise<Image> => {
  const image = imageOf(label, layers(label));
  await pushImage(domain.writer(repository), name, image, 'v1');
  return image;
};
/** Changes a byte of a stored blob. */
const flip = (digest: Digest): void => {
  const file = domain.disk.blobs.get(digest);
  if (file === undefined) throw new Error(`${digest} is not stored`);
  const bytes = Buffer.from(file.bytes);
  bytes[7] = (bytes[7] ?? 0) ^ 1;
  domain.disk.blobs.set(digest, { ...file, bytes });
};
const digestAt = ({ blobs }: Image, index: number): Digest => digestOf(blobs[index] ?? Buffer.alloc(0));

describe('a scrub', () => {
  it('hashes everything once and reports nothing about intact content', async () => {
    const image = await push('local', 'a');
    await pushImage(domain.writer('other'), 'copy', image, 'v1');
    const bytes = image.blobs.reduce((sum, { length }) => sum + length, image.manifest.bytes.length);
    expect(await run()).toMatchObject({
      blobs: 5,
      bytes,
      damaged: [],
      healed: 0,
      orphans: 0,
      orphanBytes: 0,
      drifted: [],
    });
  });

  it('finds a flipped byte of one blob among many, and lists the tags that need it', async () => {
    const images = [];
    for (let i = 0; i < 30; i++) images.push(await push('local', `team/app-${i}`));
    const digest = digestAt(images[17] as Image, 2);
    flip(digest);
    const report = await run();
    const found = { digest, problem: 'digest', uses: [{ repository: 'local', image: 'team/app-17', tag: 'v1' }] };
    expect(report).toMatchObject({ blobs: 150, damaged: [found] });
    expect(domain.log).toContainEqual(
      expect.objectContaining({ level: 'error', message: expect.stringContaining('damaged blob found') }),
    );
    // Found again, it is reported again and logged once.
    expect((await run()).damaged).toHaveLength(1);
    expect(domain.log.filter(({ message }) => message.startsWith('damaged blob found'))).toHaveLength(1);
  });

  it('reports missing blobs and those of another size', async () => {
    const image = await push('local', 'a');
    domain.disk.blobs.delete(digestAt(image, 1));
    const short = digestAt(image, 2);
    domain.disk.blobs.set(short, { bytes: Buffer.alloc(3), modifiedAt: 0 });
    const problems = (await run()).damaged.map(({ digest, problem }) => [digest, problem]);
    expect(problems).toHaveLength(2);
    expect(problems).toEqual(
      expect.arrayContaining([
        [digestAt(image, 1), 'missing'],
        [short, 'size'],
      ]),
    );
  });

  it('reads only what a repository holds, and refuses an unknown one', async () => {
    await push('local', 'a');
    const image = await push('other', 'b');
    flip(digestAt(image, 1));
    expect(await run({ repository: 'local' })).toMatchObject({ blobs: 5, damaged: [] });
    expect(await run({ repository: 'local' })).not.toHaveProperty('orphans');
    expect((await run({ repository: 'other' })).damaged).toHaveLength(1);
    await expect(run({ repository: 'unknown' })).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
  });

  it('continues where an interrupted one was', async () => {
    const image = await push('local', 'a');
    await push('local', 'b');
    for (const { digest } of (await domain.metadata.contents.references({ limit: 3 })).items) flip(digest);
    const states: ScrubState[] = [];
    const stop = new AbortController();
    const saving = run({
      signal: stop.signal,
      onProgress: ({ done }) => {
        domain.runtime.advance(hour);
        if (done === 4) stop.abort(new Error('closing'));
      },
      save: async (state) => void states.push(state),
    });
    await expect(saving).rejects.toThrow('closing');
    const from = states.at(-1);
    expect(from).toMatchObject({ blobs: 4 });
    const seen: number[] = [];
    const report = await run({ from, onProgress: ({ done }) => seen.push(done) });
    expect(seen).toEqual([5, 6, 7, 8, 9, 10]);
    expect(report).toMatchObject({ blobs: 10, startedAt: from?.startedAt });
    expect(report.damaged).toHaveLength(3);
    expect(image.blobs).toHaveLength(4);
  });

  it('reads at most so many bytes per second', async () => {
    const image = await push('local', 'a');
    const bytes = image.blobs.reduce((sum, { length }) => sum + length, 0);
    const before = performance.now();
    await run({ bytesPerSecond: bytes * 10 });
    // A lower bound, which a slow machine cannot break.
    expect(performance.now() - before).toBeGreaterThanOrEqual(90);
  });

  it('does not blame a push that replaces the bytes in the meantime', async () => {
    const image = await push('local', 'a');
    const digest = digestAt(image, 1);
    flip(digest);
    const { blobs } = domain.shared;
    const healing: ScrubParts = {
      ...partsOf(),
      blobs: {
        list: () => blobs.list(),
        read: async (one, range) => {
          const content = await blobs.read(one, range);
          // Replaces the bytes after they were opened for reading.
          if (one === digest) domain.disk.blobs.set(digest, { bytes: image.blobs[1] as Buffer, modifiedAt: 0 });
          return content;
        },
      },
    };
    expect(await scrub(healing, { bytesPerSecond: Infinity })).toMatchObject({ blobs: 5, damaged: [] });
  });

  it('does not blame a deletion that removes the bytes in the meantime', async () => {
    const image = await push('local', 'a');
    const digest = digestAt(image, 1);
    const at = { repository: 'local', image: 'a' };
    const parts = partsOf();
    const read = once(
      (method) => method === 'read',
      async () => {
        await domain.metadata.apply([{ type: 'blob.unlink', at, digest, when: 0 }], { durable: false });
        domain.disk.blobs.delete(digest);
      },
    );
    const hookedRead: ScrubParts['blobs'] = {
      list: () => parts.blobs.list(),
      read: async (one, range) => {
        if (one === digest) await read('read', []);
        return parts.blobs.read(one, range);
      },
    };
    expect((await scrub({ ...parts, blobs: hookedRead }, { bytesPerSecond: Infinity })).damaged).toEqual([]);
  });

  it('counts orphans and reports wrong counts of images', async () => {
    await push('local', 'a');
    const orphan = someBytes('orphan', 100);
    domain.disk.blobs.set(digestOf(orphan), { bytes: orphan, modifiedAt: domain.runtime.now() });
    expect(await run()).toMatchObject({ orphans: 0 });
    domain.runtime.advance(grace + hour);
    expect(await run()).toMatchObject({ orphans: 1, orphanBytes: 100, drifted: [] });
    const counted = { manifests: 1, tags: 1, bytes: 5 };
    const recount = { repository: 'local', image: 'a', recorded: { ...counted, tags: 2 }, counted };
    const { contents: real } = domain.metadata;
    const contents: ContentRecords = {
      references: (page) => real.references(page),
      usesOf: (digest) => real.usesOf(digest),
      recount: async () => recount,
    };
    const metadata = new Proxy(domain.metadata, {
      get: (target, key) => {
        if (key === 'contents') return contents;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    expect((await scrub({ ...partsOf(), metadata }, { bytesPerSecond: Infinity })).drifted).toEqual([recount]);
  });
});

describe('a damaged blob', () => {
  const pull = async (image: string, digest: Digest): Promise<unknown> =>
    domain.repository('local').statBlob(anyone, image, digest);

  it('is absent from then on, also after a restart, until a push heals it', async () => {
    const image = await push('local', 'a');
    const digest = digestAt(image, 1);
    flip(digest);
    expect(await pull('a', digest)).toBeDefined();
    await run();
    expect(await pull('a', digest)).toBeUndefined();
    await domain.restart();
    expect(await pull('a', digest)).toBeUndefined();
    await pushImage(domain.writer('local'), 'a', image, 'v1');
    expect(await pull('a', digest)).toBeDefined();
    expect(await domain.shared.damage.list()).toEqual([]);
    expect(await run()).toMatchObject({ damaged: [], healed: 0 });
  });

  it('is detected when a manifest is read, and is absent from then on', async () => {
    const image = await push('local', 'a');
    const { digest } = image.manifest;
    await domain.restart();
    flip(digest);
    const repository = domain.repository('local');
    expect(await repository.getManifest(anyone, 'a', { digest })).toBeUndefined();
    expect(await repository.statManifest(anyone, 'a', { digest })).toBeUndefined();
    expect(await domain.shared.damage.list()).toMatchObject([{ digest, problem: 'digest' }]);
  });

  it('is intact again when its bytes are restored by other means, and the next scrub notices', async () => {
    const image = await push('local', 'a');
    const digest = digestAt(image, 1);
    flip(digest);
    await run();
    flip(digest);
    expect(await pull('a', digest)).toBeUndefined();
    expect(await run()).toMatchObject({ damaged: [], healed: 1 });
    expect(await pull('a', digest)).toBeDefined();
  });

  it('is forgotten when it is deleted', async () => {
    const image = await push('local', 'a');
    const digest = digestAt(image, 1);
    flip(digest);
    await run();
    await domain.deleteRepository('local');
    await domain.collectAll();
    // The damage is forgotten in the background, before this write.
    await domain.metadata.check();
    expect(domain.has(digest)).toBe(false);
    expect(await domain.shared.damage.list()).toEqual([]);
  });

  it('is recorded in the journal', async () => {
    const image = await push('local', 'a');
    flip(digestAt(image, 1));
    await run();
    await pushImage(domain.writer('local'), 'a', image, 'v1');
    const entries = await domain.metadata.journal.read({ after: 0, limit: 1000 });
    const damage = entries.filter(({ type }) => type.startsWith('damage.'));
    expect(damage).toMatchObject([
      { type: 'damage.created', id: digestAt(image, 1), by: { via: 'system' } },
      { type: 'damage.deleted', id: digestAt(image, 1) },
    ]);
  });
});
