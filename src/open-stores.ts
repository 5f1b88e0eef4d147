import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { RegistryOptions } from './options.js';
import type { BlobStore, MetadataStore } from './ports.js';
import { FsBlobStore } from './storage/fs-blob-store.js';
import { claimLayout } from './storage/layout.js';
import { LevelMetadataStore } from './storage/level-metadata-store.js';

export interface Stores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

/** Where the blobs of a folder's stores lie as files. */
export function blobsFolderOf(storage: RegistryOptions['storage']): string | undefined {
  return typeof storage === 'string' ? path.join(storage, 'blobs') : undefined;
}

/** Those that were given, or the stores of a folder, which is made when absent. */
export async function openStores(storage: RegistryOptions['storage']): Promise<Stores> {
  if (typeof storage !== 'string') return storage;
  await mkdir(storage, { recursive: true });
  await claimLayout(storage);
  // The index before the blobs: its lock keeps a second process away from both.
  const metadata = await LevelMetadataStore.open(path.join(storage, 'index'));
  try {
    return { metadata, blobs: await FsBlobStore.open(storage) };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}
