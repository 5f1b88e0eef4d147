import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { MetadataStore, RepositoryRecord } from '../../ports/metadata/metadata.js';
import type { Closers } from '../../util/closers.js';
import { removeFolder } from '../files/system/files.js';
import { LevelMetadataStore } from '../level/level-metadata-store.js';

/** Opens an empty index with these repositories in a temporary folder, for a dry run. */
export async function openScratchIndex(
  repositories: readonly RepositoryRecord[],
  closers: Closers,
): Promise<MetadataStore> {
  const folder = await mkdtemp(path.join(tmpdir(), 'artifactapi-rebuild-'));
  closers.add('temporary folder', () => removeFolder(folder));
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  closers.add('temporary index', () => metadata.close());
  for (const { config, origin, updatedAt: when } of repositories)
    await metadata.apply([{ type: 'repository.put', config, origin, when }], { durable: false });
  return metadata;
}
