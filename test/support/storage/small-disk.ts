import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { BlobStore } from '../../../src/ports/bytes.js';
import type { MetadataStore } from '../../../src/ports/metadata/metadata.js';
import { DiskReserve, type FileSystemStats } from '../../../src/storage/files/disk-reserve.js';
import { FsBlobStore } from '../../../src/storage/files/fs-blob-store.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';

/** Stores in a folder that reports the space of a small disk. The folder and its index can hold more. */
export class SmallDisk {
  readonly folder: string;
  /** Bytes that content and the reserve may occupy together. */
  sizeBytes: number;
  readonly reserve: DiskReserve;
  readonly storage: { readonly blobs: BlobStore; readonly metadata: MetadataStore };

  private constructor(folder: string, sizeBytes: number, reserve: DiskReserve, storage: SmallDisk['storage']) {
    this.folder = folder;
    this.sizeBytes = sizeBytes;
    this.reserve = reserve;
    this.storage = storage;
  }

  static async open(folder: string, sizeBytes: number, reserveBytes: number): Promise<SmallDisk> {
    let disk: SmallDisk | undefined;
    let measurements = 0;
    const statfs = async (): Promise<FileSystemStats> => {
      const used = await Promise.all(['blobs', 'staged', 'reserve'].map((name) => usedBy(path.join(folder, name))));
      const bavail = Math.max(0, (disk?.sizeBytes ?? sizeBytes) - used.reduce((sum, bytes) => sum + bytes, 0));
      return { bsize: 1, blocks: 1e12, bavail, files: 0, ffree: 0 };
    };
    // The clock advances with each measurement, so that no test depends on the time.
    const reserve = await DiskReserve.open(folder, {
      maxBytes: reserveBytes,
      statfs,
      now: () => ++measurements * 1000,
    });
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    disk = new SmallDisk(folder, sizeBytes, reserve, { metadata, blobs: await FsBlobStore.open(folder, { reserve }) });
    await reserve.refresh();
    return disk;
  }
}

/** Returns the size of the file or folder at a path. */
async function usedBy(file: string): Promise<number> {
  const stats = await stat(file).catch(() => undefined);
  if (stats === undefined) return 0;
  if (!stats.isDirectory()) return stats.size;
  const names = await readdir(file).catch(() => []);
  const sizes = await Promise.all(names.map((name) => usedBy(path.join(file, name))));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
