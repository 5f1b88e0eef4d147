import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { RegistryError } from '../../protocol/errors.js';
import { chunksOf } from '../../util/streams/chunks-of.js';
import type { TurnGate } from '../../util/scheduling/turns.js';
import { unpackBy, unpackedChunkBytes, type Unpacker } from '../tar/unpack-stream.js';
import { unzstd } from '../tar/zstd-unpack.js';

const mebibyte = 1024 * 1024;
const batchBytes = mebibyte / 4;
/** More than this is a decompression bomb: beyond the first part, no image compresses that well. */
const maxExpansion = 200;
const expansionFreeBytes = 256 * mebibyte;

/** The compression of an archive or a layer. */
export type Packing = 'plain' | 'gzip' | 'zstd';

/** Detects the compression from the first four bytes. */
export function packingOf(head: Buffer): Packing {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  // RFC 8878: a frame, or one of the sixteen kinds of skippable frames.
  if (head.length >= 4 && head.readUInt32LE() === 0xfd2fb528) return 'zstd';
  if (head.length >= 4 && (head.readUInt32LE() & 0xfffffff0) >>> 0 === 0x184d2a50) return 'zstd';
  return 'plain';
}

/**
 * Returns the decompressed bytes of a tar. If the consumer stops early, the source stays open for the caller to drain.
 * @throws RegistryError ARCHIVE_INVALID for corrupt compressed bytes; SIZE_INVALID for a decompression bomb.
 */
export async function* unpack(source: Readable, gate: TurnGate): AsyncGenerator<Buffer> {
  const chunks = chunksOf(source, batchBytes);
  try {
    const head = await readHead(chunks);
    const all = prepend(head, chunks);
    const packing = packingOf(head);
    if (packing === 'plain') yield* all;
    else yield* refuseBombs(all, packing === 'gzip' ? gunzip : (packed) => unzstd(packed, gate));
  } finally {
    // A consumer that stops at the head has not started to read the rest, which would keep flowing.
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

async function* refuseBombs(packed: AsyncIterable<Buffer>, unpacker: Unpacker): AsyncGenerator<Buffer> {
  let packedBytes = 0;
  let unpackedBytes = 0;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of packed) {
      packedBytes += chunk.length;
      yield chunk;
    }
  };
  for await (const chunk of unpacker(counted())) {
    unpackedBytes += chunk.length;
    if (unpackedBytes > expansionFreeBytes && unpackedBytes > packedBytes * maxExpansion) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `the archive decompresses to more than ${maxExpansion} times its size`,
      });
    }
    yield chunk;
  }
}

function gunzip(packed: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return unpackBy(createGunzip({ chunkSize: unpackedChunkBytes }), packed, 'gzip');
}
