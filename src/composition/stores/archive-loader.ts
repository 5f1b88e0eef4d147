import type { Archives } from '../../ports/archives.js';

/** Returns a function that loads the code for archives on demand, because few registries need it and it slows down the start. */
export function createArchiveLoader(): () => Promise<Archives> {
  let archives: Promise<Archives> | undefined;
  return () => (archives ??= import('../../archives/archives.js').then(({ createArchives }) => createArchives()));
}
