import { expect, it } from 'vitest';
import type { BlobStore } from '../../src/ports/bytes.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { MiB, patternBytes } from '../support/content/bytes.js';
import { bytesOf, collect, put } from './blob-store-published.js';

const bytes = patternBytes(2 * MiB + 3);
const digest = digestOf(bytes);
const movedAt = 1_767_225_600_000;

/** Tests the quarantine of blobs. */
export function quarantining(store: () => BlobStore, reopen: () => Promise<BlobStore>): void {
  const listed = async (): Promise<readonly Digest[]> =>
    (await store().listQuarantined({ limit: 10 })).items.map((info) => info.digest);

  it('quarantine() hides bytes, even after a restart, until restoreQuarantined() restores them', async () => {
    await put(store(), 'first', bytes);
    await store().stat(digest);
    expect(await store().quarantine(digest, movedAt)).toBe(true);
    for (const current of [store(), await reopen()]) {
      expect(await current.stat(digest)).toBeUndefined();
      expect(await current.read(digest)).toBeUndefined();
      expect(await collect(current.list())).toEqual([]);
      expect(await current.listQuarantined({ limit: 10 })).toEqual({
        items: [{ digest, size: bytes.length, modifiedAt: movedAt }],
        more: false,
      });
    }
    expect(await store().restoreQuarantined(digest)).toBe(true);
    expect((await bytesOf(store(), digest))?.equals(bytes)).toBe(true);
    expect(await store().stat(digest)).toMatchObject({ digest, size: bytes.length });
    expect(await listed()).toEqual([]);
  });

  it('deleteQuarantined() deletes quarantined bytes, and each method returns false for missing bytes', async () => {
    expect(await store().quarantine(digest, movedAt)).toBe(false);
    expect(await store().restoreQuarantined(digest)).toBe(false);
    expect(await store().deleteQuarantined(digest)).toBe(false);
    await put(store(), 'first', bytes);
    expect(await store().deleteQuarantined(digest)).toBe(false);
    await store().quarantine(digest, movedAt);
    expect(await store().delete(digest)).toBe(false);
    expect(await store().deleteQuarantined(digest)).toBe(true);
    expect(await store().restoreQuarantined(digest)).toBe(false);
    expect(await listed()).toEqual([]);
  });

  it('restoreQuarantined() keeps bytes that were published again', async () => {
    await put(store(), 'first', bytes);
    await store().quarantine(digest, movedAt);
    await put(store(), 'second', bytes);
    expect(await listed()).toEqual([digest]);
    expect(await store().restoreQuarantined(digest)).toBe(true);
    expect(await listed()).toEqual([]);
    expect((await bytesOf(store(), digest))?.equals(bytes)).toBe(true);
  });

  it('quarantine() replaces bytes that were quarantined earlier', async () => {
    await put(store(), 'first', bytes);
    await store().quarantine(digest, movedAt);
    await put(store(), 'second', bytes);
    expect(await store().quarantine(digest, movedAt + 1000)).toBe(true);
    const { items } = await store().listQuarantined({ limit: 10 });
    expect(items).toEqual([{ digest, size: bytes.length, modifiedAt: movedAt + 1000 }]);
  });

  it('listQuarantined() returns pages in byte order of the digest', async () => {
    const digests: Digest[] = [];
    for (const [seed, algorithm] of (['sha512', 'sha256', 'sha256', 'sha512', 'sha256'] as const).entries()) {
      const content = patternBytes(10, seed + 1);
      digests.push(digestOf(content, algorithm));
      await put(store(), `page-${seed}`, content, digestOf(content, algorithm));
      await store().quarantine(digestOf(content, algorithm), movedAt);
    }
    digests.sort();
    const pages: (readonly Digest[])[] = [];
    for (let after: Digest | undefined; ;) {
      const page = await store().listQuarantined({ limit: 2, ...(after === undefined ? {} : { after }) });
      pages.push(page.items.map((info) => info.digest));
      after = page.items.at(-1)?.digest;
      if (!page.more) break;
    }
    expect(pages).toEqual([digests.slice(0, 2), digests.slice(2, 4), digests.slice(4)]);
    expect(await store().listQuarantined({ limit: 0 })).toEqual({ items: [], more: true });
    expect(await store().listQuarantined({ limit: 2, after: digests[4] ?? '' })).toEqual({ items: [], more: false });
  });
}
