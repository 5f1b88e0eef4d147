import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import { archiveInvalid } from '../../protocol/manifests/archive.js';
import type { TurnGate } from '../../util/scheduling/turns.js';
import { unpackBy, unpackedChunkBytes, type Unpacker } from './unpack-stream.js';
import { maxWindowLog, ZstdFrames } from './zstd-frames.js';

/** The zstd part of zlib in Node 22.15 and 23.8, which the types of Node 20 lack. */
interface NativeZstd {
  readonly createZstdDecompress?: (options: object) => Transform;
  readonly constants: { readonly ZSTD_d_windowLogMax: number };
}

/** The bytes that `unzstdInTurns` may move in one turn of the event loop, which takes a few milliseconds. */
const turnBytes = 16 * 1024 * 1024;
/** Decoding a byte takes as long as moving this many. A full block of 128 KiB takes one turn. */
const decodingWork = 128;
/** The minimum work of a block or header. */
const pushWork = 64 * 1024;

/**
 * Decompresses zstd with Node's zlib; `undefined` if this Node does not support zstd. The cast is needed because the types of
 * Node 20 do not have it.
 */
export const nativeUnzstd: Unpacker | undefined = findNative(zlib as unknown as NativeZstd);

/** Decompresses zstd. Without a native zstd, all streams of a gate share turns of the event loop. */
export const unzstd: (packed: AsyncIterable<Buffer>, gate: TurnGate) => AsyncIterable<Buffer> =
  nativeUnzstd ?? unzstdInTurns;

function findNative({ createZstdDecompress, constants }: NativeZstd): Unpacker | undefined {
  if (createZstdDecompress === undefined) return undefined;
  const params = { [constants.ZSTD_d_windowLogMax]: maxWindowLog };
  return async function* (packed) {
    const frames = new ZstdFrames();
    const parts = partsOfFrames(packed, frames);
    try {
      // Node's stream ends with the first frame, so each frame needs its own.
      for (let part = await parts.next(); part.done !== true; part = await parts.next()) {
        const unpacker = createZstdDecompress({ chunkSize: unpackedChunkBytes, params });
        yield* unpackBy(unpacker, oneFrame(part.value, parts), 'zstd');
      }
    } finally {
      // Not awaited, because the source may send nothing for a long time.
      parts.return(undefined).catch(() => undefined);
    }
  };
}

interface FramePart {
  readonly bytes: Buffer;
  readonly endsFrame: boolean;
}

/** Checks the data and cuts it at the ends of frames. @throws RegistryError for invalid data. */
async function* partsOfFrames(packed: AsyncIterable<Buffer>, frames: ZstdFrames): AsyncGenerator<FramePart, undefined> {
  for await (const chunk of packed) {
    let start = 0;
    for (let at = 0; at < chunk.length;) {
      at = frames.follow(chunk, at);
      if (!frames.isWhole && at < chunk.length) continue;
      yield { bytes: chunk.subarray(start, at), endsFrame: frames.isWhole };
      start = at;
    }
  }
  if (!frames.isWhole) throw endsEarly();
}

async function* oneFrame(first: FramePart, rest: AsyncGenerator<FramePart, undefined>): AsyncGenerator<Buffer> {
  for (let part: FramePart | undefined = first; part !== undefined; part = (await rest.next()).value) {
    yield part.bytes;
    if (part.endsFrame) return;
  }
}

/**
 * Decompresses zstd with fzstd, block by block, and lets other work run in between. fzstd moves its whole window for each block
 * and allocates one for each frame, which `ZstdFrames` counts as work.
 */
export async function* unzstdInTurns(packed: AsyncIterable<Buffer>, gate: TurnGate): AsyncGenerator<Buffer> {
  const unpacked: Uint8Array[] = [];
  const decompress = new Decompress((chunk) => void (chunk.length > 0 && unpacked.push(chunk)));
  let work = 0;
  const push = (chunk: Uint8Array, isLast = false): Buffer[] => {
    try {
      decompress.push(chunk, isLast);
    } catch (cause) {
      throw archiveInvalid('the zstd data of the archive is corrupt', undefined, cause);
    }
    work += pushWork + unpacked.reduce((sum, { length }) => sum + length, 0) * decodingWork;
    return unpacked.splice(0).map(toBuffer);
  };
  const frames = new ZstdFrames();
  let nextTurn = turnBytes;
  for await (const chunk of packed) {
    for (let at = 0; at < chunk.length;) {
      // Checked before the decompressor, which would allocate the memory that a frame requires.
      const end = frames.follow(chunk, at);
      yield* push(chunk.subarray(at, end));
      at = end;
      if (frames.workBytes + work < nextTurn) continue;
      nextTurn = frames.workBytes + work + turnBytes;
      // All concurrent streams share one turn, regardless of their size.
      await gate.pass(Infinity);
    }
  }
  if (!frames.isWhole) throw endsEarly();
  yield* push(Buffer.alloc(0), true);
}

function endsEarly(): Error {
  return archiveInvalid('the zstd data of the archive ends early');
}

function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  // fzstd does not use shared memory.
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
