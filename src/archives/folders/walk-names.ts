import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { maxNameLength } from '../../protocol/names.js';
import type { ForeignFolder } from './foreign-file.js';

/** A folder of an image, by its path from the root. */
export interface NamedFolder {
  readonly name: string;
  readonly folder: string;
}

/**
 * Yields the folders below a root that hold an image, in byte order of each level. An image may have others below it. Skips
 * names that begin with `_` or `.`, which registries use for their own folders.
 */
export async function* walkNames(
  files: ForeignFolder,
  root: string,
  isImage: (folder: string) => Promise<boolean>,
): AsyncGenerator<NamedFolder> {
  const rest: { name: string; folder: string; above: readonly string[] }[] = [{ name: '', folder: root, above: [] }];
  for (let here = rest.pop(); here !== undefined; here = rest.pop()) {
    const { name, folder, above } = here;
    const real = await realpath(folder);
    // A symbolic link may lead back to a folder that contains it.
    if (above.includes(real)) continue;
    if (await isImage(folder)) yield { name, folder };
    // An import refuses longer names, so nothing below them is read.
    if (name.length > maxNameLength) continue;
    const below = (await files.listFolders(folder)).filter((entry) => !/^[._]/.test(entry));
    for (const entry of below.toReversed()) {
      const child = name === '' ? entry : `${name}/${entry}`;
      rest.push({ name: child, folder: path.join(folder, entry), above: [...above, real] });
    }
  }
}
