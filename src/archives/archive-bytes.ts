import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { pipeline } from 'node:stream/promises';
import { Decompress } from 'fzstd';
import { RegistryError } from '../protocol/errors.js';
import { archiveInvalid } from '../protocol/archive.js';
import { chunksOf } from '../util/chunks-of.js';
import { ZstdFrames } from './zstd-frames.js';

const mebibyte = 1024 * 1024;
const batchBytes = mebibyte / 4;
/** A file that is much larger than what was sent of it is a bomb: no image is packed that well beyond its first part. */
const expansionMost = 200;
/** What a piece unpacks to is held in memory, and four bytes of it may be a block of 128 KiB. */
const zstdPieceBytes = 1024;
const expansionFreeBytes = 256 * mebibyte;

export type Packing = 'plain' | 'gzip' | 'zstd';

/** How bytes are packed, by how they begin. */
export function packingOf(head: Buffer): Packing {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  // RFC 8878: a frame, or one of the sixteen kinds of skippable ones.
  if (head.length >= 4 && head.readUInt32LE() === 0xfd2fb528) return 'zstd';
  if (head.length >= 4 && (head.readUInt32LE() & 0xfffffff0) >>> 0 === 0x184d2a50) return 'zstd';
  return 'plain';
}

/**
 * The bytes of a tar, unpacked when they are packed. Whoever stops early leaves the source open, for the caller to drain.
 * @throws RegistryError ARCHIVE_INVALID for packed bytes that are broken, SIZE_INVALID for a bomb.
 */
export async function* unpack(source: Readable): AsyncGenerator<Buffer> {
  const chunks = chunksOf(source, batchBytes);
  try {
    const head = await readHead(chunks);
    const all = prepend(head, chunks);
    const packing = packingOf(head);
    if (packing === 'plain') yield* all;
    else yield* refuseBombs(all, packing === 'gzip' ? gunzip : unzstd);
  } finally {
    // Whoever leaves at the head has not begun with the rest, which would go on flowing.
    await chunks.return(undefined);
  }
}

async function readHead(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

async function* prepend(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  yield* rest;
}

type Unpacker = (packed: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;

async function* refuseBombs(packed: AsyncIterable<Buffer>, unpacker: Unpacker): AsyncGenerator<Buffer> {
  let taken = 0;
  let given = 0;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of packed) {
      taken += chunk.length;
      yield chunk;
    }
  };
  for await (const chunk of unpacker(counted())) {
    given += chunk.length;
    if (given > expansionFreeBytes && given > taken * expansionMost) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `the archive unpacks to more than ${expansionMost} times its size`,
      });
    }
    yield chunk;
  }
}

async function* gunzip(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: 256 * 1024 });
  let failure: unknown;
  const feeding = pipeline(packed, unzip).catch((error: unknown) => {
    failure = error;
  });
  try {
    yield* unzip as AsyncIterable<Buffer>;
    await feeding;
  } catch (error) {
    throw isZlibError(error) ? archiveInvalid('the gzip around the archive is broken', undefined, error) : error;
  } finally {
    unzip.destroy();
  }
  if (failure !== undefined) throw failure;
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('Z_');
}

async function* unzstd(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const unpacked: Uint8Array[] = [];
  const decompress = new Decompress((chunk) => void unpacked.push(chunk));
  const push = (chunk: Uint8Array, isLast = false): Buffer[] => {
    try {
      decompress.push(chunk, isLast);
    } catch (cause) {
      throw archiveInvalid('the zstd around the archive is broken', undefined, cause);
    }
    return unpacked.splice(0).map(toBuffer);
  };
  const frames = new ZstdFrames();
  for await (const chunk of packed) {
    // Before the decompressor sees it: it would take the memory that a frame asks for.
    frames.check(chunk);
    for (let at = 0; at < chunk.length; at += zstdPieceBytes) yield* push(chunk.subarray(at, at + zstdPieceBytes));
  }
  if (!frames.isWhole) throw archiveInvalid('the zstd around the archive ends early');
  yield* push(Buffer.alloc(0), true);
}

function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
