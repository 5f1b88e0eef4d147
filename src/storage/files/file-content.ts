import type { Writable } from 'node:stream';
import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import { SinkWriter } from '../../util/streams/sink-writer.js';
import { closeFile, fill, openFile } from './system/files.js';

/** Size of a read of a reader that is alone: fewer round trips through the thread pool. */
const largeBytes = 4 * 1024 * 1024;
/** Size of a read while there are several readers: with larger buffers, bytes leave the processor's cache before they are sent. */
const sharedBytes = 512 * 1024;
/** Size of a write to the client: a client that reads slowly is found by the bytes that it has not taken from one. */
const maxWriteBytes = 1024 * 1024;
/** Buffers of the large size. */
const maxLarge = 2;
/**
 * Reads up to this size get a buffer of their own, which is cheaper than occupying a pooled one. Larger reads are cut
 * to this size when the pool is exhausted.
 */
const maxSmallBytes = 64 * 1024;

/**
 * Reusable buffers of 512 KiB, and two of 4 MiB for a reader that is alone. At most `maxLent` are lent at the same time, and at most
 * `maxKept` of 512 KiB are kept for later.
 */
export class BufferPool {
  readonly #maxKept: number;
  readonly #maxLent: number;
  readonly #free: Buffer[] = [];
  readonly #freeLarge: Buffer[] = [];
  #lent = 0;

  constructor(maxKept: number, maxLent = Infinity) {
    this.#maxKept = maxKept;
    this.#maxLent = maxLent;
  }

  /** Returns the number of buffers kept for later. */
  get kept(): number {
    return this.#free.length + this.#freeLarge.length;
  }

  /** Returns the number of buffers in use. */
  get lent(): number {
    return this.#lent;
  }

  /**
   * Lends a buffer, or returns `undefined` at the limit: clients that stop reading would otherwise hold any number of
   * them.
   */
  take(): Buffer | undefined {
    if (this.#lent >= this.#maxLent) return undefined;
    this.#lent += 1;
    if (this.#lent <= maxLarge) return this.#freeLarge.pop() ?? Buffer.allocUnsafeSlow(largeBytes);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(sharedBytes);
  }

  /** Takes back a buffer that no one uses any more. */
  give(buffer: Buffer): void {
    this.#lent -= 1;
    const [free, maxKept] = buffer.length === largeBytes ? [this.#freeLarge, maxLarge] : [this.#free, this.#maxKept];
    if (free.length < maxKept) free.push(buffer);
  }

  /** Stops counting buffers that a sink may still hold. */
  abandon(buffers: number): void {
    this.#lent -= buffers;
  }
}

/** Bytes that were read, and the pooled buffer that holds them. */
export interface Piece {
  readonly bytes: Buffer;
  /** The whole buffer, if it came from the pool. */
  readonly buffer: Buffer | undefined;
}

/** A source of bytes that is read piece by piece. */
export interface PieceReader {
  /** Reads at most `length` bytes, all of which must exist. */
  read(position: number, length: number): Promise<Piece>;
  /** Gives back a piece that no one uses any more. */
  giveBack(piece: Piece): void;
  /** Closes the source. No read may be in progress. */
  close(): Promise<void>;
}

/** Reads an open file into pooled buffers and owns its descriptor. */
export class FilePieces implements PieceReader {
  readonly #fd: number;
  readonly #pool: BufferPool;
  #lent = 0;

  constructor(fd: number, pool: BufferPool) {
    this.#fd = fd;
    this.#pool = pool;
  }

  /** Reads as much as the buffer takes that the pool lends. @throws TruncatedFileError when the file is shorter */
  read(position: number, length: number): Promise<Piece> {
    const reading = this.#read(position, length);
    // It may reject before it is awaited.
    reading.catch(() => undefined);
    return reading;
  }

  giveBack(piece: Piece): void {
    if (piece.buffer !== undefined) this.#give(piece.buffer);
  }

  close(): Promise<void> {
    // A failed sink may still hold pieces that were not given back.
    this.#pool.abandon(this.#lent);
    this.#lent = 0;
    return closeFile(this.#fd);
  }

  async #read(position: number, length: number): Promise<Piece> {
    const buffer = length > maxSmallBytes ? this.#take() : undefined;
    // Shorter than `length` if the buffer is.
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

/**
 * The bytes of a file, or a range of them. Alternates between two buffers: one is filled while the sink uses the other.
 */
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
    let ahead: Promise<Piece> | undefined = pieces.read(position, this.#end - position);
    try {
      while (ahead !== undefined) {
        const piece: Piece = await ahead;
        position += piece.bytes.length;
        ahead = position < this.#end ? pieces.read(position, this.#end - position) : undefined;
        // After a rejection the sink may still hold the buffer, so it never returns to the pool.
        for (let at = 0; at < piece.bytes.length; at += maxWriteBytes)
          await writer.write(piece.bytes.subarray(at, at + maxWriteBytes));
        pieces.giveBack(piece);
      }
    } finally {
      // The descriptor is closed next, so no read may be in progress.
      await ahead?.then(
        (piece) => pieces.giveBack(piece),
        () => undefined,
      );
    }
  }
}
