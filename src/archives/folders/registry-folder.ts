/**
 * Reads the data folders of other registries, which must be stopped. Imported by the composition root only; imports
 * ports/ and protocol/.
 */
import path from 'node:path';
import type { SourceRegistry } from '../../ports/operations/migration.js';
import { openDistribution } from './distribution-folder.js';
import { ForeignFolder, isFolder } from './foreign-file.js';
import { isLayout, openLayouts } from './layout-folders.js';

/** The folder is not that of a registry. The message is for the operator. */
export class NoRegistryError extends Error {
  override readonly name = 'NoRegistryError';
}

/**
 * Opens the data folder of another registry: CNCF distribution (`docker/registry/v2`) or a folder of OCI layouts, such as
 * zot's.
 * @param boundary the real path of a folder that no symbolic link may lead out of. Without it, links are followed anywhere.
 * @throws NoRegistryError
 */
export async function openRegistryFolder(folder: string, boundary?: string): Promise<SourceRegistry> {
  if (!(await isFolder(folder))) throw new NoRegistryError(`${folder} is not a folder`);
  const files = new ForeignFolder(boundary);
  for (const root of [path.join(folder, 'docker', 'registry', 'v2'), folder]) {
    const parts = ['repositories', 'blobs'].map((name) => isFolder(path.join(root, name)));
    if ((await Promise.all(parts)).every(Boolean)) return openDistribution(root, files);
  }
  if (await isLayout(folder)) {
    throw new NoRegistryError(`${folder} is one OCI layout: name the folder above it, whose subfolders become images`);
  }
  const layouts = openLayouts(folder, files);
  for await (const _ of layouts.images()) return layouts;
  throw new NoRegistryError(
    `no registry in ${folder}: expected docker/registry/v2 of CNCF distribution, or OCI layouts as zot stores them`,
  );
}
