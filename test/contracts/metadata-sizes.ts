import { expect, it } from 'vitest';
import type { Change, MetadataStore, Precondition } from '../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../src/ports/metadata/images.js';
import { ConflictError } from '../../src/util/conflict-error.js';
import { repositoryConfigSchema } from '../../src/protocol/settings/repository-config.js';
import { at, digest, link, putManifest, repository, tag, unlink } from './metadata-samples.js';

const other: ImageKey = { repository: 'r', image: 'other' };
const elsewhere: ImageKey = { repository: 's', image: 'team/app' };
const unsynced = { durable: false };

/** Requires that the images that match have at most so many bytes after the write. */
function within(maxBytes: number, ...names: string[]): Precondition {
  return { type: 'usage', names, maxBytes };
}

/** Sums the records of images, as a recount. */
async function recount(store: MetadataStore, repositories: readonly string[]): Promise<number> {
  let total = 0;
  for (const name of repositories) {
    const { items } = await store.images(name, { limit: 10_000 });
    total += items.reduce((sum, { bytes }) => sum + bytes, 0);
    // `images` lists only those with manifests.
    for (const image of ['blobs-only']) total += (await store.image({ repository: name, image }))?.bytes ?? 0;
  }
  return total;
}

/** Tests sizes of groups of images, and the precondition that limits them. */
export function sizes(store: () => MetadataStore): void {
  it('are those of the images of local repositories that match a pattern', async () => {
    const config = repositoryConfigSchema.parse({ name: 'remote', type: 'remote', url: 'http://a.example' });
    await store().apply([{ type: 'repository.put', config, origin: 'managed', when: 1 }], unsynced);
    const far: ImageKey = { repository: 'remote', image: 'x' };
    await store().apply([link('a', 1), ...putManifest('m'), link('b', 1, other), link('a', 1, elsewhere)], unsynced);
    await store().apply([link('a', 1, far)], unsynced);
    const cases: [string[], number][] = [
      [['**'], 130],
      [['r/**'], 120],
      [['r/**', '**'], 130],
      [['r/team/**'], 110],
      [['*/team/*'], 120],
      [['r/team/app', 'r/other'], 120],
      [['r/*'], 10],
      [['s/**'], 10],
      [['remote/**'], 0],
      [['absent/**'], 0],
      [['r'], 0],
    ];
    // The second time, the sums are known and follow the writes.
    for (const more of [0, 10]) {
      if (more > 0) await store().apply([link('c', 2)], unsynced);
      for (const [names, bytes] of cases) {
        const grows = more > 0 && bytes >= 110;
        expect([names, await store().sizes.total(names)]).toEqual([names, bytes + (grows ? more : 0)]);
      }
    }
  });

  it('follow deletions, and repositories that are deleted and created again', async () => {
    await store().apply([link('a', 1), ...putManifest('m', { references: [digest('a')] }, 'v1')], unsynced);
    expect(await store().sizes.total(['**'])).toBe(110);
    await store().apply([unlink('a', 2)], unsynced);
    expect(await store().sizes.total(['**'])).toBe(100);
    await store().apply([{ type: 'repository.delete', name: 'r', when: 3 }], { durable: true });
    expect(await store().sizes.total(['**'])).toBe(0);
    await store().apply([repository('r'), link('a', 4)], { durable: true, require: [within(10, 'r/**')] });
    expect(await store().sizes.total(['**'])).toBe(10);
    while (await store().purge(5));
    expect(await store().sizes.total(['**'])).toBe(10);
  });

  it('do not count the trash, and count restored manifests again', async () => {
    await store().apply([link('a', 1), ...putManifest('m', { references: [digest('a')] })], unsynced);
    const trashUntil = 1000;
    await store().apply([{ type: 'manifest.delete', at, digest: digest('m'), when: 2, trashUntil }], unsynced);
    expect(await store().sizes.total(['r/**'])).toBe(0);
    const restore: Change = { type: 'trash.restore', at, digest: digest('m') };
    const refused = store().apply([restore], { durable: false, require: [within(109, 'r/**')] });
    await expect(refused).rejects.toMatchObject({ exceeded: { usedBytes: 0, neededBytes: 110 } });
    await store().apply([restore], { durable: false, require: [within(110, 'r/**')] });
    expect(await store().sizes.total(['r/**'])).toBe(110);
  });

  it('a write that would exceed the limit conflicts with the figures, and changes nothing', async () => {
    await store().apply([link('a', 1)], unsynced);
    const write = store().apply([link('b', 2), link('c', 2)], { durable: false, require: [within(29, 'r/team/*')] });
    await expect(write).rejects.toThrow(ConflictError);
    await expect(write).rejects.toMatchObject({
      exceeded: { names: ['r/team/*'], maxBytes: 29, usedBytes: 10, neededBytes: 20 },
    });
    expect(await store().sizes.total(['**'])).toBe(10);
    expect(await store().link(at, digest('b'))).toBeUndefined();
    const limited = { durable: false, require: [within(19, 'r/**')] };
    expect(await store().tryApply([link('b', 2)], limited)).toBe(false);
    const figures = { names: ['r/**'], maxBytes: 19, usedBytes: 10, neededBytes: 10 };
    expect(await store().applyWithin([link('b', 2)], limited)).toEqual(figures);
    expect(await store().applyWithin([{ type: 'repository.delete', name: 'x', when: 2 }], limited)).toBe(false);
    expect(await store().applyWithin([link('a', 2)], limited)).toBe(true);
    expect(await store().tryApply([link('b', 2)], { durable: false, require: [within(20, 'r/**')] })).toBe(true);
    // Other preconditions are checked too, and another image does not count.
    const absent: Precondition = { type: 'link', at, digest: digest('b'), is: 'absent' };
    expect(
      await store().tryApply([link('c', 3, other)], { durable: false, require: [within(99, 'r/**'), absent] }),
    ).toBe(false);
    expect(await store().tryApply([link('c', 3, other)], { durable: false, require: [within(0, 's/**')] })).toBe(true);
  });

  it('a write that adds nothing succeeds above the limit: a retag, a renewed link, a deletion, an exchange', async () => {
    await store().apply([link('a', 1), ...putManifest('m', {}, 'v1'), link('b', 1)], unsynced);
    const require = [within(1, 'r/**')];
    const free: Change[][] = [
      [tag('v2', 'm', 2)],
      [link('a', 3)],
      putManifest('m', {}, 'v3'),
      [unlink('b', 4)],
      [unlink('a', 5), link('c', 5)],
      [],
    ];
    for (const changes of free) await store().apply(changes, { durable: false, require });
    expect(await store().sizes.total(['r/**'])).toBe(110);
    expect(await store().tryApply([link('d', 6)], { durable: false, require })).toBe(false);
  });

  it('each of several limits is checked', async () => {
    const require = (first: number, second: number) => [within(first, 'r/**'), within(second, '*/team/*')];
    expect(await store().tryApply([link('a', 1)], { durable: false, require: require(10, 9) })).toBe(false);
    expect(await store().tryApply([link('a', 1)], { durable: false, require: require(9, 10) })).toBe(false);
    expect(await store().tryApply([link('a', 1)], { durable: false, require: require(10, 10) })).toBe(true);
  });

  it('never exceed a limit under 8 concurrent writers, fill it exactly, and equal a recount', async () => {
    const limits = [within(500, '**'), within(300, 'r/**')];
    let highest = 0;
    const written: boolean[] = [];
    const writer = async (number: number): Promise<void> => {
      for (let step = 0; step < 25; step++) {
        const place = { repository: step % 2 === 0 ? 'r' : 's', image: step % 3 === 0 ? 'blobs-only' : 'team/app' };
        // Some writes remove what they added, so that others fit again.
        if (step % 5 === 4) await store().tryApply([unlink(`${number} ${step - 2}`, step, place)], unsynced);
        const options = { durable: step % 4 === 0, require: limits };
        written.push(await store().tryApply([link(`${number} ${step}`, step, place)], options));
        highest = Math.max(highest, await store().sizes.total(['**']));
        expect(await store().sizes.total(['r/**'])).toBeLessThanOrEqual(300);
      }
    };
    await store().apply(
      [...putManifest('m'), ...putManifest('m').map((change) => ({ ...change, at: elsewhere }) as Change)],
      unsynced,
    );
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(writer));
    expect(highest).toBe(500);
    expect(written).toContain(false);
    expect(written).toContain(true);
    expect(await store().sizes.total(['**'])).toBe(await recount(store(), ['r', 's']));
    expect(await store().sizes.total(['r/**'])).toBe(await recount(store(), ['r']));
    expect(await store().sizes.total(['*/*', '*/team/*'])).toBe(await recount(store(), ['r', 's']));
  });
}
