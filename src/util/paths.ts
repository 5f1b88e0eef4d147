import path from 'node:path';

/** Returns whether a path is that of a folder or of something in it. Both must be absolute and normalized. */
export function isWithin(folder: string, file: string): boolean {
  return file === folder || file.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep);
}
