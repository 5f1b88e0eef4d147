import { expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import type { Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import { at, deleteManifest, digest, putManifest } from './metadata-samples.js';

const day = 24 * 3_600_000;
const other = { repository: 'r', image: 'other' };

/** Tests the counts of pulls. */
export function pulls(store: () => MetadataStore): void {
  const write = (...changes: readonly Change[]): Promise<void> => store().apply(changes, { durable: false });
  const pulled = (name: string, count: number, when: number, image = at): Change => {
    return { type: 'manifest.pulled', at: image, digest: digest(name), count, when };
  };

  it('add up in total and by day, with the time of the last pull', async () => {
    await write(...putManifest('m'));
    await write(pulled('m', 2, day + 5), pulled('m', 1, day + 9));
    await write(pulled('m', 4, 3 * day), pulled('m', 1, day + 1));
    const expected = {
      digest: digest('m'),
      lastAt: 3 * day,
      total: 8,
      days: [
        { day: 1, count: 4 },
        { day: 3, count: 4 },
      ],
    };
    expect(await store().pulls.get(at, digest('m'))).toEqual(expected);
    expect(await store().pulls.list(at)).toEqual([expected]);
  });

  it('of many images and manifests are counted in one write, which fails for an unknown repository', async () => {
    const images = Array.from({ length: 5 }, (_, i) => ({ repository: 'r', image: `i${i}` }));
    for (const image of images) {
      await write(...[...putManifest('m'), ...putManifest('n')].map((change) => ({ ...change, at: image }) as Change));
    }
    const all = images.flatMap((image, i) => [pulled('m', i, day, image), pulled('n', 1, 2 * day, image)]);
    await write(...all, ...all.toReversed());
    for (const [i, image] of images.entries()) {
      expect(await store().pulls.get(image, digest('m'))).toMatchObject({ total: 2 * i, lastAt: day });
      expect(await store().pulls.get(image, digest('n'))).toMatchObject({ total: 2, days: [{ day: 2, count: 2 }] });
    }
    const unknown = { repository: 'none', image: 'x' };
    await expect(write(...all, pulled('m', 1, 1, unknown))).rejects.toThrow(ConflictError);
    expect(await store().pulls.get({ repository: 'r', image: 'i1' }, digest('n'))).toMatchObject({ total: 2 });
  });

  it('keep 30 days', async () => {
    await write(...putManifest('m'));
    for (let i = 1; i <= 40; i++) await write(pulled('m', 1, i * day));
    const record = await store().pulls.get(at, digest('m'));
    expect(record?.total).toBe(40);
    expect(record?.days.map((one) => one.day)).toEqual(Array.from({ length: 30 }, (_, i) => i + 11));
  });

  it('are kept for manifests of the image only, and end with the manifest', async () => {
    await write(...putManifest('m'), ...putManifest('n'));
    await write(pulled('m', 1, 1), pulled('n', 1, 1), pulled('unknown', 1, 1), pulled('m', 1, 1, other));
    const digests = async (image = at): Promise<string[]> => (await store().pulls.list(image)).map((one) => one.digest);
    expect(await digests()).toEqual([digest('m'), digest('n')].sort());
    expect(await digests(other)).toEqual([]);
    await write(deleteManifest('m', 2));
    expect(await digests()).toEqual([digest('n')]);
    expect(await store().pulls.get(at, digest('m'))).toBeUndefined();
    expect(await store().pulls.get({ repository: 'none', image: 'x' }, digest('m'))).toBeUndefined();
  });
}
