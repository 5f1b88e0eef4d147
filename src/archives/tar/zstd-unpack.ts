import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import { archiveInvalid } from '../../protocol/archive.js';
import type { TurnGate } from '../../util/turns.js';
import { unpackBy, unpackedChunkBytes, type Unpacker } from './unpack-stream.js';
import { maxWindowLog, ZstdFrames } from './zstd-frames.js';

/** What Node has from 22.15 and 23.8 on; the types are those of Node 20. */
interface NativeZstd {
  readonly createZstdDecompress?: (options: object) => Transform;
  readonly constants: { readonly ZSTD_d_windowLogMax: number };
}

/** The bytes that `unzstdInTurns` may move in one turn of the event loop, which takes a few milliseconds. */
const turnBytes = 16 * 1024 * 1024;
/** Decoding a byte takes as long as moving so many: a full block, of 128 KiB, takes a turn. */
const decodingWork = 128;
/** The least work of a block or header. */
const pushWork = 64 * 1024;

/** By the zlib of this Node; `undefined` where that knows no zstd. */
export const nativeUnzstd: Unpacker | undefined = findNative(zlib as unknown as NativeZstd);

/** Unpacks zstd. Without a native zstd, all streams of a gate share turns of the event loop. */
export const unzstd: (packed: AsyncIterable<Buffer>, gate: TurnGate) => AsyncIterable<Buffer> =
  nativeUnzstd ?? unzstdInTurns;

function findNative({ createZstdDecompress, constants }: NativeZstd): Unpacker | undefined {
  if (createZstdDecompress === undefined) return undefined;
  const params = { [constants.ZSTD_d_windowLogMax]: maxWindowLog };
  return async function* (packed) {
    const frames = new ZstdFrames();
    const parts = partsOfFrames(packed, frames);
    try {
      // Node's stream ends with the first frame, so each has its own.
      for (let part = await parts.next(); part.done !== true; part = await parts.next()) {
        const unpacker = createZstdDecompress({ chunkSize: unpackedChunkBytes, params });
        yield* unpackBy(unpacker, oneFrame(part.value, parts), 'zstd');
      }
    } finally {
      // Not awaited: the source may have nothing to say for a long time.
      parts.return(undefined).catch(() => undefined);
    }
  };
}

interface FramePart {
  readonly bytes: Buffer;
  readonly endsFrame: boolean;
}

/** Checked, and cut where frames end. @throws RegistryError */
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
 * By fzstd, in slices of a block each, with turns for others between them. It moves its whole window for each block and
 * takes one for each frame, which is what `ZstdFrames` counts as work.
 */
export async function* unzstdInTurns(packed: AsyncIterable<Buffer>, gate: TurnGate): AsyncGenerator<Buffer> {
  const unpacked: Uint8Array[] = [];
  const decompress = new Decompress((chunk) => void (chunk.length > 0 && unpacked.push(chunk)));
  let work = 0;
  const push = (chunk: Uint8Array, isLast = false): Buffer[] => {
    try {
      decompress.push(chunk, isLast);
    } catch (cause) {
      throw archiveInvalid('the zstd around the archive is broken', undefined, cause);
    }
    work += pushWork + unpacked.reduce((sum, { length }) => sum + length, 0) * decodingWork;
    return unpacked.splice(0).map(toBuffer);
  };
  const frames = new ZstdFrames();
  let nextTurn = turnBytes;
  for await (const chunk of packed) {
    for (let at = 0; at < chunk.length;) {
      // Before the decompressor sees it: it would take the memory that a frame asks for.
      const end = frames.follow(chunk, at);
      yield* push(chunk.subarray(at, end));
      at = end;
      if (frames.workBytes + work < nextTurn) continue;
      nextTurn = frames.workBytes + work + turnBytes;
      // One turn for all that unpack at a time, whatever their size.
      await gate.pass(Infinity);
    }
  }
  if (!frames.isWhole) throw endsEarly();
  yield* push(Buffer.alloc(0), true);
}

function endsEarly(): Error {
  return archiveInvalid('the zstd around the archive ends early');
}

function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
