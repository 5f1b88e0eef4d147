import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, statfs, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findTool, run } from '../../../e2e-docker/support/commands.js';
import { compile } from './compile.js';

/** The file systems of the tests. */
export type FileSystem = 'ext4' | 'xfs';

/** The commands that create a file system. */
const makers: Readonly<Record<FileSystem, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0'],
  xfs: ['mkfs.xfs', '-q', '-f'],
};

/**
 * A loop-mounted file system in a file, which can be filled and whose power can be cut. `release` unmounts it, or else
 * the exit of this process, or the next process that creates one.
 */
export class LoopDisk {
  /** The mount point. */
  readonly path: string;
  /** A folder beside the disk, which is never cut or full, for logs and configuration. */
  readonly folder: string;
  readonly #image: string;
  readonly #cut: string;
  readonly #onExit = (): void => unmountNow(this.folder);

  private constructor(folder: string, image: string, cut: string) {
    this.folder = folder;
    this.path = join(folder, 'disk');
    this.#image = image;
    this.#cut = cut;
  }

  static async create(fileSystem: FileSystem, sizeMiB: number): Promise<LoopDisk> {
    releaseAbandoned();
    const folder = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`));
    const image = join(await chooseImageFolder(folder, sizeMiB), `${basename(folder)}.image`);
    const disk = new LoopDisk(folder, image, await compile('cut', folder));
    process.once('exit', disk.#onExit);
    try {
      await writeFile(disk.#image, '');
      await truncate(disk.#image, sizeMiB * 1024 * 1024);
      const [maker = '', ...flags] = makers[fileSystem];
      await run(maker, [...flags, disk.#image]);
      await mkdir(disk.path);
      await disk.mount();
      return disk;
    } catch (error) {
      await disk.release();
      throw error;
    }
  }

  async mount(): Promise<void> {
    await run('mount', ['-o', 'loop', this.#image, this.path]);
  }

  /**
   * Resolves when the file system is unmounted. A process that was just killed may hold it for a moment, and a
   * container started meanwhile has its own mount of it: mounting too early would return the same dead file system.
   */
  async unmount(): Promise<void> {
    for (let attempt = 1; isMounted(this.path) || isAttached(this.#image); attempt++) {
      try {
        if (isMounted(this.path)) await run('umount', [this.path]);
        else throw new Error(`${this.#image} is still mounted elsewhere`);
      } catch (error) {
        if (attempt === 600) throw error;
        await sleep(100);
      }
    }
  }

  /** Cuts the power: unwritten data is lost. The file system is dead until it is mounted again. */
  async cut(): Promise<void> {
    await run(this.#cut, [this.path]);
  }

  /** Fills the disk to the last block with a foreign file. */
  async fill(): Promise<void> {
    const file = await open(join(this.path, foreignFile), 'a');
    try {
      for (const size of [1 << 20, 1 << 12, 1]) await appendUntilFull(file, Buffer.alloc(size, 1));
      await file.sync().catch(ignoreFull);
    } finally {
      await file.close();
    }
  }

  /** Removes the foreign file. */
  async empty(): Promise<void> {
    await rm(join(this.path, foreignFile), { force: true });
  }

  async release(): Promise<void> {
    await this.unmount().catch(() => unmountNow(this.folder));
    process.off('exit', this.#onExit);
    await rm(this.#image, { force: true });
    await rm(this.folder, { recursive: true, force: true });
  }
}

const foreignFile = 'foreign';
const memory = '/dev/shm';

async function appendUntilFull(file: FileHandle, bytes: Buffer): Promise<void> {
  for (;;) {
    const { bytesWritten } = await file.write(bytes).catch((error: unknown) => {
      ignoreFull(error);
      return { bytesWritten: 0 };
    });
    if (bytesWritten < bytes.length) return;
  }
}

function ignoreFull(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
}

/** Chooses memory, where a flush takes no time, if there is room for the whole disk. */
async function chooseImageFolder(folder: string, sizeMiB: number): Promise<string> {
  const room = await statfs(memory).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
  return room > 4 * sizeMiB * 1024 * 1024 ? memory : folder;
}

/** Returns the reason why no file system can be mounted here, or undefined if one can. */
export async function findMountObstacle(fileSystem: FileSystem): Promise<string | undefined> {
  const missing = ['gcc', 'mount', 'umount', makers[fileSystem][0] ?? ''].filter(
    (tool) => findTool(tool) === undefined,
  );
  if (missing.length > 0)
    return `${missing.join(', ')} missing: install ${fileSystem === 'xfs' ? 'xfsprogs' : 'e2fsprogs and build-essential'}`;
  if (process.getuid?.() !== 0) return 'mounting needs root';
  try {
    await (await LoopDisk.create(fileSystem, fileSystem === 'xfs' ? 320 : 16)).release();
    return undefined;
  } catch (error) {
    return `loop mounts are not permitted: ${(error as Error).message}`;
  }
}

const prefix = 'faults-disk-';

function mounts(): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
}

/** Returns whether a loop device uses the image. */
function isAttached(image: string): boolean {
  return readdirSync('/sys/block')
    .filter((device) => device.startsWith('loop'))
    .some((device) => readOrEmpty(`/sys/block/${device}/loop/backing_file`).trim() === image);
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function isMounted(path: string): boolean {
  return mounts().includes(path);
}

function unmountNow(folder: string): void {
  for (const mount of mounts()
    .filter((path) => path.startsWith(`${folder}/`))
    .toReversed()) {
    spawnSync(findTool('umount') ?? 'umount', ['--lazy', mount]);
  }
}

/** Releases the disks of processes that were killed before they could unmount them. */
function releaseAbandoned(): void {
  const pattern = new RegExp(`^(.*/${prefix}(\\d+)-\\w+)/`);
  for (const mount of mounts()) {
    const [, folder, pid] = pattern.exec(mount) ?? [];
    if (folder === undefined || isAlive(Number(pid))) continue;
    unmountNow(folder);
    rmSync(folder, { recursive: true, force: true });
    rmSync(join(memory, `${basename(folder)}.image`), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
