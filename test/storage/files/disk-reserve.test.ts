import { rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DiskReserve, type DiskReserveOptions, type FileSystemStats } from '../../../src/storage/files/disk-reserve.js';
import { makeScratchFolder } from '../../support/storage/scratch.js';

const mebibyte = 1024 * 1024;
const reserveBytes = 16 * mebibyte;
/** A sixteenth of the reserve. */
const margin = mebibyte;

let folder: string;
/** The free bytes that the stubbed file system reports. */
let freeBytes: number;
let inodes: { files: number; ffree: number };
let sizeBytes: number;
let now: number;
let measurements: number;
let reserve: DiskReserve;

beforeEach(async () => {
  folder = await makeScratchFolder();
  [freeBytes, sizeBytes, now, measurements] = [1000 * mebibyte, 2000 * mebibyte, 0, 0];
  inodes = { files: 1000, ffree: 1000 };
  reserve = await open();
});
afterEach(async () => {
  await reserve.close();
  await rm(folder, { recursive: true, force: true });
});

function open(options: DiskReserveOptions = {}): Promise<DiskReserve> {
  const statfs = async (): Promise<FileSystemStats> => {
    measurements++;
    return { bsize: 1, blocks: sizeBytes, bavail: freeBytes, ...inodes };
  };
  return DiskReserve.open(folder, { maxBytes: reserveBytes, statfs, now: () => now, ...options });
}

const file = (): string => path.join(folder, 'reserve');
const full = { code: 'UNAVAILABLE', status: 507 };

describe('the reserve file', () => {
  it('occupies its full size on disk and is readable only by its owner', async () => {
    await reserve.refresh();
    const { size, blocks, mode } = await stat(file());
    expect(size).toBe(reserveBytes);
    expect(blocks * 512).toBeGreaterThanOrEqual(reserveBytes);
    expect(mode & 0o777).toBe(0o600);
    expect(await reserve.status()).toEqual({ freeBytes, totalBytes: sizeBytes, reserveBytes, isReserveComplete: true });
  });

  it('takes at most a tenth of a small file system', async () => {
    sizeBytes = 50 * mebibyte;
    const small = await open();
    await small.refresh();
    expect((await stat(file())).size).toBe(5 * mebibyte);
  });

  it('is not created with reserveBytes 0, which also removes one from an earlier start', async () => {
    await writeFile(file(), 'left');
    const none = await open({ maxBytes: 0 });
    none.start();
    await expect.poll(() => stat(file()).catch(() => 'gone')).toBe('gone');
    await none.refresh();
    expect(await stat(file()).catch(() => 'gone')).toBe('gone');
    await none.ensureRoom(freeBytes);
    await expect(none.ensureRoom(freeBytes + 1)).rejects.toMatchObject(full);
    await none.close();
  });

  it('is kept unchanged by the next start', async () => {
    await reserve.refresh();
    const before = await stat(file());
    const next = await open();
    expect(await next.status()).toMatchObject({ isReserveComplete: true });
    await next.refresh();
    const after = await stat(file());
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
  });

  it.each([
    ['has another size', async () => writeFile(file(), 'short')],
    [
      'occupies no blocks',
      async () => {
        const { open: openFile } = await import('node:fs/promises');
        const handle = await openFile(file(), 'w');
        await handle.truncate(reserveBytes);
        await handle.close();
      },
    ],
  ])('is written again when it %s', async (_what, prepare) => {
    await prepare();
    const next = await open();
    expect(await next.status()).toMatchObject({ isReserveComplete: false });
    await next.refresh();
    expect((await stat(file())).blocks * 512).toBeGreaterThanOrEqual(reserveBytes);
  });

  it('is created at once when less than twice its size is free', async () => {
    freeBytes = 2 * reserveBytes - 1;
    reserve.start();
    await expect.poll(async () => (await reserve.status()).isReserveComplete).toBe(true);
  });

  it('is either complete or absent after closing interrupts its creation', async () => {
    const refreshing = reserve.refresh();
    await reserve.close();
    await refreshing;
    const found = await stat(file()).catch(() => undefined);
    expect([undefined, reserveBytes]).toContain(found?.size);
  });
});

describe('ensureRoom', () => {
  it('requires the bytes and a margin once the reserve is complete', async () => {
    await reserve.refresh();
    freeBytes = 5 * mebibyte;
    now += 1000;
    await reserve.ensureRoom(4 * mebibyte);
    await expect(reserve.ensureRoom(4 * mebibyte + 1)).rejects.toMatchObject({
      ...full,
      message:
        'the disk is full: 5 MiB are free and 5.00 MiB are needed; enlarge the disk, or delete images and collect garbage after the grace period',
      detail: { freeBytes, neededBytes: freeBytes + 1 },
    });
  });

  it('also requires the space that the reserve still lacks', async () => {
    freeBytes = reserveBytes + margin;
    await reserve.ensureRoom(0);
    await expect(reserve.ensureRoom(1)).rejects.toMatchObject(full);
  });

  it('measures the free space at most a few times a second, and subtracts taken bytes in between', async () => {
    await reserve.refresh();
    freeBytes = 10 * mebibyte;
    now += 1000;
    measurements = 0;
    for (let i = 0; i < 9; i++) await reserve.take(mebibyte);
    expect(measurements).toBe(1);
    freeBytes = margin;
    await expect(reserve.take(1)).rejects.toMatchObject(full);
    freeBytes = 10 * mebibyte;
    now += 250;
    await reserve.take(1);
    await reserve.take(1);
    expect(measurements).toBe(3);
  });

  it('reuses a measurement only while a GiB more than needed was free', async () => {
    await reserve.refresh();
    [sizeBytes, freeBytes] = [4000 * mebibyte, 1024 * mebibyte + margin + 2 * mebibyte];
    now += 1000;
    measurements = 0;
    for (let i = 0; i < 3; i++) await reserve.ensureRoom(2 * mebibyte);
    expect(measurements).toBe(1);
    await reserve.take(1);
    await reserve.ensureRoom(2 * mebibyte);
    expect(measurements).toBe(2);
    freeBytes = margin;
    await expect(reserve.ensureRoom(2 * mebibyte + 1)).rejects.toMatchObject(full);
    freeBytes = 3000 * mebibyte;
    await reserve.ensureRoom(0);
    [freeBytes, now] = [0, now + 250];
    await expect(reserve.ensureRoom(0)).rejects.toMatchObject(full);
  });

  it('measures again after a delete, or when the last measurement would refuse the bytes', async () => {
    await reserve.refresh();
    freeBytes = 10 * mebibyte;
    now += 1000;
    await reserve.take(1);
    measurements = 0;
    await reserve.take(1);
    expect(measurements).toBe(0);
    reserve.noteFreed();
    await reserve.take(1);
    expect(measurements).toBe(1);
    freeBytes = 100 * mebibyte;
    await reserve.take(50 * mebibyte);
    expect(measurements).toBe(2);
  });

  it('refuses when inodes run out, except on a file system without inode counts', async () => {
    inodes = { files: 1000, ffree: 3 };
    await expect(reserve.ensureRoom(0)).rejects.toThrow('the disk is full: no inodes are free');
    inodes = { files: 0, ffree: 0 };
    now += 1000;
    await reserve.ensureRoom(0);
  });

  it('accepts everything when the file system does not report its size', async () => {
    [sizeBytes, freeBytes] = [0, 0];
    const unknown = await open();
    await unknown.ensureRoom(1e12);
    const failing = await open({ statfs: () => Promise.reject(new Error('not supported')) });
    await failing.ensureRoom(1e12);
    expect(await failing.status()).toEqual({ reserveBytes: 0, isReserveComplete: true });
  });
});

describe('release', () => {
  it('frees half of a large reserve per call, and all of a small one', async () => {
    await reserve.refresh();
    const left: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      left.push(
        await Promise.all([reserve.release(), reserve.release()]),
        (await stat(file()).catch(() => undefined))?.size,
      );
    }
    expect(left).toEqual([[true, true], 8 * mebibyte, [true, true], undefined, [false, false], undefined]);
  });

  it('refuses content until the reserve can be completed, and then completes it', async () => {
    await reserve.refresh();
    await reserve.release();
    freeBytes = 8 * mebibyte;
    await expect(reserve.ensureRoom(0)).rejects.toMatchObject(full);
    expect(await reserve.status()).toMatchObject({ isReserveComplete: false });
    freeBytes = 8 * mebibyte + margin;
    reserve.noteFreed();
    await expect.poll(async () => (await reserve.status()).isReserveComplete).toBe(true);
    expect((await stat(file())).size).toBe(reserveBytes);
  });

  it('interrupts the creation of the reserve and removes the file', async () => {
    const refreshing = reserve.refresh();
    await expect.poll(() => stat(file()).catch(() => undefined), { interval: 1 }).toBeDefined();
    await reserve.release();
    await refreshing;
    expect(await stat(file()).catch(() => 'gone')).toBe('gone');
  });
});

it('an unwritable reserve is retried later, and content is accepted in the meantime', async () => {
  const { mkdir, rmdir } = await import('node:fs/promises');
  await mkdir(file());
  const blocked = await open();
  await blocked.refresh();
  await blocked.ensureRoom(mebibyte);
  await rmdir(file());
  await blocked.refresh();
  expect(await blocked.status()).toMatchObject({ isReserveComplete: false });
  now += 30_000;
  await blocked.refresh();
  expect(await blocked.status()).toMatchObject({ isReserveComplete: true });
});
