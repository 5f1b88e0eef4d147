import { RegistryError } from '../../protocol/errors.js';
import { archiveInvalid } from '../../protocol/manifests/archive.js';

/** RFC 8878, 3.1.1.1.2 recommends at least 8 MiB. `zstd -19` uses 8 MiB; `--long` and `--ultra` use up to 128 MiB. */
export const maxWindowLog = 25;
const maxWindowBytes = 2 ** maxWindowLog;
/** RFC 8878, 3.1.1.2.4: a block has at most this many bytes, and at most as many as its window. */
const maxBlockBytes = 128 * 1024;
/**
 * Twice as many blocks as 256 MiB of zeros have, plus twice as many as full blocks at a ratio of 200. Empty blocks and frames
 * are cheap to send but expensive to decompress.
 */
const blocksFree = 4096;
const bytesForBlock = 256;
/** Limits the windows of all frames together: beyond the free part, 64 bytes of windows per compressed byte. */
const windowsFreeBytes = 1024 * 1024 * 1024;
const windowBytesForByte = 64;
/** Allocating memory is this many times as slow as moving it. */
const allocationWork = 8;

type State = 'magic' | 'descriptor' | 'header' | 'block' | 'skippable';

/**
 * Follows the frames of zstd data without decompressing it. Limits the memory and work that they require, and checks that they
 * are complete (RFC 8878, 3).
 */
export class ZstdFrames {
  #state: State = 'magic';
  /** The bytes of the field being read. */
  readonly #field: number[] = [];
  #fieldBytes = 4;
  #skip = 0;
  #hasChecksum = false;
  #headerFlags = 0;
  #windowBytes = 0;
  #takenBytes = 0;
  /** Skippable frames count too. */
  #blocks = 0;
  #windowsBytes = 0;
  #workBytes = 0;

  /** Whether the data ends with a complete frame. */
  get isWhole(): boolean {
    return this.#state === 'magic' && this.#field.length === 0 && this.#skip === 0;
  }

  /** The bytes that a decompressor allocates or moves for these frames if it moves its window for each block. */
  get workBytes(): number {
    return this.#workBytes;
  }

  /**
   * Follows a chunk from an offset to the end of the next block, header or frame, or to the end of the chunk. Returns the offset
   * of this end.
   * @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 if a window is too large, or if there are too many blocks or frames
   * for the bytes so far.
   */
  follow(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        this.#takenBytes += skipped;
        at += skipped;
        if (this.#skip === 0) return at;
        continue;
      }
      this.#field.push(chunk[at++] ?? 0);
      this.#takenBytes++;
      if (this.#field.length < this.#fieldBytes) continue;
      this.#read(Buffer.from(this.#field.splice(0)));
      // An empty block ends with its header.
      if (this.#skip === 0 && (this.#state === 'block' || this.#state === 'magic')) return at;
    }
    return at;
  }

  #read(field: Buffer): void {
    switch (this.#state) {
      case 'magic':
        this.#readMagic(field.readUInt32LE());
        break;
      case 'skippable':
        this.#countBlock();
        this.#skip = field.readUInt32LE();
        this.#expect('magic', 4);
        break;
      case 'descriptor':
        this.#readDescriptor(field.readUInt8());
        break;
      case 'header':
        this.#readHeader(field);
        this.#expect('block', 3);
        break;
      case 'block':
        this.#readBlock(field.readUIntLE(0, 3));
        break;
    }
  }

  #expect(state: State, bytes: number): void {
    this.#state = state;
    this.#fieldBytes = bytes;
  }

  #readMagic(magic: number): void {
    if (magic === 0xfd2fb528) this.#expect('descriptor', 1);
    else if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) this.#expect('skippable', 4);
    else throw archiveInvalid('the zstd data of the archive is corrupt');
  }

  #readDescriptor(flags: number): void {
    this.#headerFlags = flags;
    this.#hasChecksum = (flags & 4) !== 0;
    const isSingle = (flags & 0x20) !== 0;
    const dictionaryBytes = [0, 1, 2, 4][flags & 3] ?? 0;
    const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][flags >> 6] ?? 0;
    this.#expect('header', (isSingle ? 0 : 1) + dictionaryBytes + sizeBytes);
  }

  #readHeader(header: Buffer): void {
    const windowBytes =
      (this.#headerFlags & 0x20) === 0 ? readWindow(header.readUInt8()) : readSize(header, this.#headerFlags);
    if (windowBytes > maxWindowBytes) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message:
          'the zstd data of the archive needs too much memory: compress it with a smaller window, such as that of zstd -19',
        detail: { windowBytes, maxBytes: maxWindowBytes },
      });
    }
    this.#windowBytes = windowBytes;
    this.#windowsBytes += windowBytes;
    this.#workBytes += windowBytes * allocationWork;
    if (this.#windowsBytes > windowsFreeBytes + this.#takenBytes * windowBytesForByte) throw tooMany('frames');
  }

  #readBlock(header: number): void {
    const isLast = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3 || size > Math.min(this.#windowBytes, maxBlockBytes)) {
      throw archiveInvalid('the zstd data of the archive is corrupt');
    }
    this.#countBlock();
    this.#workBytes += this.#windowBytes;
    // A run-length block has one byte; its size is that of the result.
    this.#skip = type === 1 ? 1 : size;
    if (!isLast) return;
    this.#skip += this.#hasChecksum ? 4 : 0;
    this.#expect('magic', 4);
  }

  #countBlock(): void {
    if (++this.#blocks > blocksFree + this.#takenBytes / bytesForBlock) throw tooMany('blocks');
  }
}

function tooMany(what: string): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    status: 413,
    message: `the zstd data of the archive has too many ${what} for its size`,
  });
}

function readWindow(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Returns the content size, which is the window of a single-segment frame, from the end of the header. */
function readSize(header: Buffer, flags: number): number {
  switch (flags >> 6) {
    case 0:
      return header.readUInt8(header.length - 1);
    case 1:
      return header.readUInt16LE(header.length - 2) + 256;
    case 2:
      return header.readUInt32LE(header.length - 4);
    default:
      return Number(header.readBigUInt64LE(header.length - 8));
  }
}
