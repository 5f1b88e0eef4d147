import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { RegistryError } from '../../protocol/errors.js';
import { chunksOf } from '../../util/chunks-of.js';
import type { TurnGate } from '../../util/turns.js';
import { unpackBy, unpackedChunkBytes, type Unpacker } from '../tar/unpack-stream.js';
import { unzstd } from '../tar/zstd-unpack.js';

const mebibyte = 1024 * 1024;
const batchBytes = mebibyte / 4;
/** A file that is much larger than what was sent of it is a bomb: no image is packed that well beyond its first part. */
const maxExpansion = 200;
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
export async function* unpack(source: Readable, gate: TurnGate): AsyncGenerator<Buffer> {
  const chunks = chunksOf(source, batchBytes);
  try {
    const head = await readHead(chunks);
    const all = prepend(head, chunks);
    const packing = packingOf(head);
    if (packing === 'plain') yield* all;
    else yield* refuseBombs(all, packing === 'gzip' ? gunzip : (packed) => unzstd(packed, gate));
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
    if (given > expansionFreeBytes && given > taken * maxExpansion) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `the archive unpacks to more than ${maxExpansion} times its size`,
      });
    }
    yield chunk;
  }
}

function gunzip(packed: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return unpackBy(createGunzip({ chunkSize: unpackedChunkBytes }), packed, 'gzip');
}
