import { mkdir, mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Closers } from '../util/closers.js';
import { removeFolder } from './files/system/files.js';
import { describeSelf, isAlive, type Owner } from './level/database/level-owner.js';

const prefix = 'artifactapi-spool-';
const ownerFile = 'owner.json';
/** A folder of another machine or container, whose process cannot be looked up, is left after this time without a change. */
const abandonedMs = 86_400_000;

/**
 * Creates a folder for the content of this process, and deletes those of processes that were killed.
 * @param closers receives the step that deletes the folder.
 * @param parent where to create it. @default the folder of the system for temporary files
 */
export async function claimSpoolFolder(closers: Closers, parent = tmpdir()): Promise<string> {
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent)) {
    if (name.startsWith(prefix)) await removeAbandoned(path.join(parent, name));
  }
  const folder = await mkdtemp(path.join(parent, prefix));
  closers.add('spool', () => removeFolder(folder));
  await writeFile(path.join(folder, ownerFile), JSON.stringify(describeSelf()));
  const content = path.join(folder, 'content');
  await mkdir(content);
  return content;
}

/** Leaves folders of other users, which cannot be read. */
async function removeAbandoned(folder: string): Promise<void> {
  try {
    if (await isAbandoned(folder)) await removeFolder(folder);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  const owner = await readOwner(folder);
  const isLocal = owner?.machine === describeSelf().machine && process.platform !== 'win32';
  if (owner !== undefined && isLocal) return !isAlive(owner);
  const content = path.join(folder, 'content');
  const names = await readdir(content).catch(() => []);
  const files = [folder, content, ...names.map((name) => path.join(content, name))];
  const changes = await Promise.all(files.map(async (file) => (await stat(file).catch(() => undefined))?.mtimeMs ?? 0));
  return Math.max(...changes) < Date.now() - abandonedMs;
}

async function readOwner(folder: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(path.join(folder, ownerFile), 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}
