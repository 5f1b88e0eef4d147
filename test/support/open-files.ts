import { readdir, readlink } from 'node:fs/promises';

/** The open files of this process that lie under the root; none where the system does not tell. */
export async function openFilesUnder(root: string): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd').catch((): string[] => [])).map((fd) =>
      readlink(`/proc/self/fd/${fd}`).catch(() => ''),
    ),
  );
  return links.filter((path) => path.startsWith(root));
}

/** @throws when a file under the root is still open. */
export async function checkNoLeak(root: string): Promise<void> {
  const leaked = await openFilesUnder(root);
  if (leaked.length > 0) throw new Error(`still open: ${leaked.join(', ')}`);
}
