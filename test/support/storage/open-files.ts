import { readdir, readlink } from 'node:fs/promises';

/** Returns the open files of this process under the root, or none where the system does not list them. */
export async function openFilesUnder(root: string): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd').catch((): string[] => [])).map((fd) =>
      readlink(`/proc/self/fd/${fd}`).catch(() => ''),
    ),
  );
  return links.filter((path) => path.startsWith(root));
}

/** Checks that no file under the root is open. @throws Error with the open files */
export async function checkNoLeak(root: string): Promise<void> {
  const leaked = await openFilesUnder(root);
  if (leaked.length > 0) throw new Error(`still open: ${leaked.join(', ')}`);
}
