import { constants } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

/** How much of the end of a file is searched for its last line. */
const maxTailBytes = 4 * 1024 * 1024;
/** Readable by the group, for programs that ship logs. */
const fileMode = 0o640;
const folderMode = 0o750;

/** A line, and the day that it belongs to. */
interface DatedLine {
  readonly day: string;
  readonly text: string;
}

/** The conditions for renaming a file and for deleting renamed files. */
export interface Rotation {
  readonly maxBytes: number;
  readonly keepDays: number;
  /** Returns the day of a line; `undefined` if it is not a valid one. */
  readonly dayOf: (line: string) => string | undefined;
  /** Returns the day this many days ago. */
  readonly daysAgo: (days: number) => string;
}

/**
 * A file of lines. Each file has the lines of one day, up to a size; then it is renamed to `<file>.<day>.<number>`. A line
 * is in the file completely or not at all, even after a failed write or after the process was killed.
 */
export class RotatingFile {
  readonly #path: string;
  readonly #rotation: Rotation;
  #handle: FileHandle | undefined;
  #day: string | undefined;
  /** The size to cut the file back to, after a write failed and its bytes could not be removed. */
  #goodSize: number | undefined;
  /** The last valid line of the file, or of the one that was renamed last. `undefined` if there is none. */
  readonly lastLine: string | undefined;

  private constructor(file: string, rotation: Rotation, lastLine: string | undefined, day: string | undefined) {
    this.#path = file;
    this.#rotation = rotation;
    this.lastLine = lastLine;
    this.#day = day;
  }

  /**
   * Opens a file. Creates it and its folder if they do not exist, and removes the beginning of a line at its end, which a
   * killed process left. @throws Error if the file cannot be written, or if it has lines but none of them is valid.
   */
  static async open(file: string, rotation: Rotation): Promise<RotatingFile> {
    const folder = path.dirname(file);
    await mkdir(folder, { recursive: true, mode: folderMode });
    // Rotation renames the file.
    await access(folder, constants.W_OK);
    const isRegular = await stat(file).then(
      (stats) => stats.isFile(),
      () => true,
    );
    if (!isRegular) throw new Error(`"${file}" is not a regular file`);
    const handle = await open(file, 'a+', fileMode);
    try {
      const tail = await readTail(handle, rotation.dayOf);
      if (tail.size !== tail.wholeSize) await handle.truncate(tail.wholeSize);
      const day = tail.lastLine === undefined ? undefined : rotation.dayOf(tail.lastLine);
      const lastLine = tail.lastLine ?? (await readLastRotated(file, rotation.dayOf));
      return new RotatingFile(file, rotation, lastLine, day);
    } finally {
      await handle.close();
    }
  }

  /**
   * Appends the first lines of a non-empty list, up to the end of the current file but at least one, and returns
   * their number. They then survive a power cut. @throws Error when no line was appended.
   */
  async append(lines: readonly DatedLine[]): Promise<number> {
    const [first] = lines;
    if (first === undefined) throw new Error('no lines to append');
    let size = await this.#prepare();
    if (size > 0 && (this.#isNewDay(first) || size + Buffer.byteLength(first.text) > this.#rotation.maxBytes)) {
      await this.#rotate();
      size = await this.#prepare();
    }
    const count = this.#countFitting(lines, size);
    const chosen = lines.slice(0, count);
    await this.#write(chosen.map(({ text }) => text).join(''), size);
    for (const { day } of chosen) if (this.#day === undefined || day > this.#day) this.#day = day;
    return count;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  /** A late entry of an earlier day does not rotate the file. */
  #isNewDay({ day }: DatedLine): boolean {
    return this.#day !== undefined && day > this.#day;
  }

  #countFitting(lines: readonly DatedLine[], size: number): number {
    const { maxBytes } = this.#rotation;
    let end = size;
    const rest = lines.findIndex(({ day, text }, i) => {
      end += Buffer.byteLength(text);
      return i > 0 && (end > maxBytes || day > (this.#day ?? lines[0]?.day ?? day));
    });
    return rest < 0 ? lines.length : rest;
  }

  /** Opens the file again if it was moved or deleted. Returns its size. */
  async #prepare(): Promise<number> {
    const current = await stat(this.#path).catch(() => undefined);
    const opened = await this.#handle?.stat();
    if (opened === undefined || current?.ino !== opened.ino || current.dev !== opened.dev) {
      await this.close();
      this.#handle = await open(this.#path, 'a', fileMode);
      this.#goodSize = undefined;
      return (await this.#handle.stat()).size;
    }
    if (this.#goodSize === undefined) return opened.size;
    await this.#handle?.truncate(this.#goodSize);
    const size = this.#goodSize;
    this.#goodSize = undefined;
    return size;
  }

  /** @param size the size to cut back to when not everything can be written. */
  async #write(text: string, size: number): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) throw new Error('the file is not open');
    try {
      await handle.appendFile(text);
      await handle.datasync();
    } catch (error) {
      this.#goodSize = size;
      await handle.truncate(size).then(
        () => (this.#goodSize = undefined),
        () => undefined,
      );
      throw error;
    }
  }

  async #rotate(): Promise<void> {
    const day = this.#day ?? this.#rotation.daysAgo(0);
    await this.close();
    const files = await listRotated(this.#path);
    const last = files.filter((one) => one.day === day).at(-1);
    await rename(this.#path, `${this.#path}.${day}.${(last?.number ?? 0) + 1}`);
    this.#day = undefined;
    const oldest = this.#rotation.daysAgo(this.#rotation.keepDays);
    for (const { file } of files.filter((one) => one.day < oldest)) await rm(file, { force: true });
  }
}

interface Tail {
  readonly size: number;
  /** The size without the beginning of a line at the end. */
  readonly wholeSize: number;
  readonly lastLine: string | undefined;
}

async function readTail(handle: FileHandle, dayOfLine: Rotation['dayOf']): Promise<Tail> {
  const { size } = await handle.stat();
  const start = Math.max(0, size - maxTailBytes);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
  const bytes = buffer.subarray(0, bytesRead);
  const end = bytes.lastIndexOf(0x0a) + 1;
  const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
  const lastLine = lines.findLast((line) => dayOfLine(line) !== undefined);
  const isForeign = lastLine === undefined && (lines.length > 0 || start > 0);
  if (isForeign) throw new Error('the file does not end with a line that this option wrote: move it away');
  return { size, wholeSize: start + end, lastLine };
}

async function readLastRotated(file: string, dayOfLine: Rotation['dayOf']): Promise<string | undefined> {
  const last = (await listRotated(file)).at(-1);
  if (last === undefined) return undefined;
  const handle = await open(last.file, 'r');
  try {
    return (await readTail(handle, dayOfLine)).lastLine;
  } finally {
    await handle.close();
  }
}

interface RotatedFile {
  readonly file: string;
  readonly day: string;
  readonly number: number;
}

/** Lists renamed files, the oldest first. */
async function listRotated(file: string): Promise<RotatedFile[]> {
  const [folder, base] = [path.dirname(file), path.basename(file)];
  const names = (await readdir(folder)).filter((name) => name.startsWith(`${base}.`));
  const files = names.flatMap((name) => {
    const [, day, number] = /^(\d{4}-\d\d-\d\d)\.(\d+)$/.exec(name.slice(base.length + 1)) ?? [];
    return day === undefined ? [] : [{ file: path.join(folder, name), day, number: Number(number) }];
  });
  return files.sort((a, b) => (a.day === b.day ? a.number - b.number : a.day < b.day ? -1 : 1));
}
