/**
 * File-system calls as promises: calls on plain descriptors, which are numbers because the hash worker shares them, and
 * calls that behave differently on Windows.
 */
import fs from 'node:fs';
import { promisify } from 'node:util';
import { createSystemCalls } from './system-calls.js';

/** The calls that behave differently on Windows. */
export const {
  renameFile,
  replaceFile,
  unlinkFile,
  unlinkSharedFile,
  removeFile,
  removeFolder,
  openFolder,
  syncFolder,
} = createSystemCalls();

/** Calls of `node:fs` on plain descriptors. */
export const openFile = promisify(fs.open);
export const closeFile = promisify(fs.close);
/** Closes on this thread: for files that have nothing left to write. */
export const closeNow = fs.closeSync;
export const syncData = promisify(fs.fdatasync);
export const cutFile = promisify(fs.ftruncate);
export const statOpen = promisify(fs.fstat);
const read = promisify(fs.read);
const writev = promisify(fs.writev);

/** The file is shorter than it should be. */
export class TruncatedFileError extends Error {
  override readonly name = 'TruncatedFileError';
}

/** Fills the buffer with bytes from `position`. @throws TruncatedFileError when the file ends before */
export async function fill(fd: number, buffer: Buffer, position: number): Promise<void> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await read(fd, buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) throw new TruncatedFileError(`the file ends at byte ${position + filled}`);
    filled += bytesRead;
  }
}

/** Reads the first `size` bytes. @throws TruncatedFileError when the file is shorter */
export async function readFully(fd: number, size: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(size);
  await fill(fd, buffer, 0);
  return buffer;
}

/**
 * Writes all chunks at `position`. Calls `onWritten` with the size of each part that was written, so that the count is
 * right after a failure.
 */
export async function writeFully(
  fd: number,
  chunks: readonly Buffer[],
  position: number,
  onWritten: (bytes: number) => void,
): Promise<void> {
  let rest = chunks;
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await writev(fd, rest, at);
    onWritten(bytesWritten);
    at += bytesWritten;
    rest = withoutFirst(rest, bytesWritten);
  }
}

/** Returns the chunks without their first bytes. None of them is empty. */
export function withoutFirst(chunks: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes;
  let index = 0;
  for (const chunk of chunks) {
    if (chunk.length > skip) break;
    skip -= chunk.length;
    index++;
  }
  const rest = chunks.slice(index);
  const first = rest[0];
  if (first !== undefined && skip > 0) rest[0] = first.subarray(skip);
  return rest;
}
