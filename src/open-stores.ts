import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { RegistryOptions } from './options.js';
import type { BlobStore, MetadataStore, Runtime } from './ports.js';
import { FsBlobStore } from './storage/fs-blob-store.js';
import { claimLayout } from './storage/layout.js';
import type { IndexEvent } from './storage/level-database.js';
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
export async function openStores(storage: RegistryOptions['storage'], runtime: Runtime): Promise<Stores> {
  if (typeof storage !== 'string') return storage;
  await mkdir(storage, { recursive: true });
  await claimLayout(storage);
  // The index before the blobs: its lock keeps a second process away from both.
  const metadata = await LevelMetadataStore.open(path.join(storage, 'index'), {
    onEvent: (event) => announce(event, runtime),
  });
  try {
    return { metadata, blobs: await FsBlobStore.open(storage) };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}

function announce(event: IndexEvent, runtime: Runtime): void {
  if (event.type === 'failed') {
    runtime.log.error({ failure: event.failure }, 'index write failed');
    runtime.emit('index.failed', event.failure);
  } else {
    const { reopens, failure } = event;
    runtime.log.warn({ reopens, failure }, 'index reopened');
    runtime.emit('index.reopened', { reopens, failure });
  }
}
