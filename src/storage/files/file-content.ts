import type { Writable } from 'node:stream';
import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import { SinkWriter } from '../../util/sink-writer.js';
import { closeFile, fill, openFile } from './system/files.js';

/** The most that is read at a time. */
export const maxPieceBytes = 1024 * 1024;
/** Up to here a buffer of the right size is made for the one read: cheaper than to occupy a large one, or none is left. */
const maxSmallBytes = 64 * 1024;

/** Buffers of 1 MiB that are used again: at most `maxLent` are lent at a time, and at most `maxKept` are kept for later. */
export class BufferPool {
  readonly #maxKept: number;
  readonly #maxLent: number;
  readonly #free: Buffer[] = [];
  #lent = 0;

  constructor(maxKept: number, maxLent = Infinity) {
    this.#maxKept = maxKept;
    this.#maxLent = maxLent;
  }

  /** How many are kept for later. */
  get kept(): number {
    return this.#free.length;
  }

  /** How many are in use. */
  get lent(): number {
    return this.#lent;
  }

  /** Lends a buffer, or returns `undefined` when too many are lent: clients that do not read would hold them all. */
  take(): Buffer | undefined {
    if (this.#lent >= this.#maxLent) return undefined;
    this.#lent += 1;
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(maxPieceBytes);
  }

  /** Takes a buffer back that nobody holds any more. */
  give(buffer: Buffer): void {
    this.#lent -= 1;
    if (this.#free.length < this.#maxKept) this.#free.push(buffer);
  }

  /** Counts buffers out that somebody may still hold. */
  abandon(buffers: number): void {
    this.#lent -= buffers;
  }
}

export interface Piece {
  readonly bytes: Buffer;
  /** Whole, if it came from the pool. */
  readonly buffer: Buffer | undefined;
}

/** Where a reader has its bytes from, piece by piece. */
export interface PieceReader {
  /** Reads at most `maxPieceBytes`, which are there; maybe less than was asked for. */
  read(position: number, length: number): Promise<Piece>;
  /** Nobody may hold the piece any more. */
  giveBack(piece: Piece): void;
  /** When no read is under way. */
  close(): Promise<void>;
}

/** Reads a file that is open, into buffers of the pool; the descriptor is closed with it. */
export class FilePieces implements PieceReader {
  readonly #fd: number;
  readonly #pool: BufferPool;
  #lent = 0;

  constructor(fd: number, pool: BufferPool) {
    this.#fd = fd;
    this.#pool = pool;
  }

  /** Reads less when the pool has no buffer left. @throws TruncatedFileError when the file is shorter. */
  read(position: number, length: number): Promise<Piece> {
    const reading = this.#read(position, length);
    // It may fail while its turn to be awaited has not come.
    reading.catch(() => undefined);
    return reading;
  }

  giveBack(piece: Piece): void {
    if (piece.buffer !== undefined) this.#give(piece.buffer);
  }

  close(): Promise<void> {
    // Pieces that were not given back may still be held by a sink that failed.
    this.#pool.abandon(this.#lent);
    this.#lent = 0;
    return closeFile(this.#fd);
  }

  async #read(position: number, length: number): Promise<Piece> {
    const buffer = length > maxSmallBytes ? this.#take() : undefined;
    const bytes = buffer?.subarray(0, length) ?? Buffer.allocUnsafe(Math.min(length, maxSmallBytes));
    try {
      await fill(this.#fd, bytes, position);
      return { bytes, buffer };
    } catch (error) {
      if (buffer !== undefined) this.#give(buffer);
      throw error;
    }
  }

  #take(): Buffer | undefined {
    const buffer = this.#pool.take();
    if (buffer !== undefined) this.#lent += 1;
    return buffer;
  }

  #give(buffer: Buffer): void {
    this.#lent -= 1;
    this.#pool.give(buffer);
  }
}

/** The bytes of a file, or a range of them. Two buffers take turns: one is read into while the sink has the other. */
export class FileContent implements BlobContent {
  readonly size: number;
  readonly path: string;
  readonly #start: number;
  readonly #end: number;
  readonly #pool: BufferPool;

  constructor(path: string, size: number, range: ByteRange | undefined, pool: BufferPool) {
    this.path = path;
    this.size = size;
    this.#start = range?.start ?? 0;
    this.#end = range === undefined ? size : range.end + 1;
    this.#pool = pool;
  }

  async writeTo(sink: Writable): Promise<void> {
    const writer = new SinkWriter(sink);
    try {
      writer.check();
      if (this.#start >= this.#end) return;
      const pieces = new FilePieces(await openFile(this.path, 'r'), this.#pool);
      try {
        await this.#copy(pieces, writer);
      } finally {
        await pieces.close();
      }
    } finally {
      writer.release();
    }
  }

  async #copy(pieces: FilePieces, writer: SinkWriter): Promise<void> {
    let position = this.#start;
    let ahead: Promise<Piece> | undefined = this.#read(pieces, position);
    try {
      while (ahead !== undefined) {
        const piece: Piece = await ahead;
        position += piece.bytes.length;
        ahead = position < this.#end ? this.#read(pieces, position) : undefined;
        // When it rejects the sink may still hold the buffer: then it never goes back to the pool.
        await writer.write(piece.bytes);
        pieces.giveBack(piece);
      }
    } finally {
      // The descriptor is closed next: no read may be under way.
      await ahead?.then(
        (piece) => pieces.giveBack(piece),
        () => undefined,
      );
    }
  }

  #read(pieces: FilePieces, position: number): Promise<Piece> {
    return pieces.read(position, Math.min(maxPieceBytes, this.#end - position));
  }
}
