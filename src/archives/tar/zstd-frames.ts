import { RegistryError } from '../../protocol/errors.js';
import { archiveInvalid } from '../../protocol/archive.js';

/** RFC 8878, 3.1.1.1.2 recommends 8 MiB and more; `zstd -19` takes 8, `--long` and `--ultra` up to 128. */
export const maxWindowLog = 25;
const maxWindowBytes = 2 ** maxWindowLog;
/** RFC 8878, 3.1.1.2.4: a block has as many bytes at most, or as many as its window. */
const maxBlockBytes = 128 * 1024;
/**
 * What 256 MiB of zeros have twice, and as many more as there are full blocks at a ratio of 200, twice again. Empty blocks
 * and frames are cheap to send and dear to unpack.
 */
const blocksFree = 4096;
const bytesForBlock = 256;
/** All the windows of an archive that is in many frames: a window for each part of it that is a 64th of one. */
const windowsFreeBytes = 1024 * 1024 * 1024;
const windowBytesForByte = 64;
/** Taking memory is so many times as slow as moving it. */
const takingWork = 8;

type State = 'magic' | 'descriptor' | 'header' | 'block' | 'skippable';

/**
 * Follows the frames of zstd bytes, unpacking nothing: what memory and work they ask for, and whether they are whole
 * (RFC 8878, 3).
 */
export class ZstdFrames {
  #state: State = 'magic';
  /** The bytes of the field that is being read. */
  readonly #field: number[] = [];
  #wanted = 4;
  #skip = 0;
  #hasChecksum = false;
  #headerFlags = 0;
  #windowBytes = 0;
  #takenBytes = 0;
  /** Skippable frames count too. */
  #blocks = 0;
  #windowsBytes = 0;
  #workBytes = 0;

  /** True between two frames. */
  get isWhole(): boolean {
    return this.#state === 'magic' && this.#field.length === 0 && this.#skip === 0;
  }

  /** The bytes that an unpacker takes or moves for what was followed, were it one that moves its window for each block. */
  get workBytes(): number {
    return this.#workBytes;
  }

  /**
   * Goes on from a place in the chunk to where the next block, header or frame ends, or to the end of the chunk; returns
   * that place.
   * @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 when a frame wants too large a window, or there are too many
   * blocks or frames for the bytes so far.
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
      if (this.#field.length < this.#wanted) continue;
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

  #expect(state: State, wanted: number): void {
    this.#state = state;
    this.#wanted = wanted;
  }

  #readMagic(magic: number): void {
    if (magic === 0xfd2fb528) this.#expect('descriptor', 1);
    else if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) this.#expect('skippable', 4);
    else throw archiveInvalid('the zstd around the archive is broken');
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
        message: 'the zstd around the archive needs too much memory: pack it with a smaller window, as zstd -19 does',
        detail: { windowBytes, maxBytes: maxWindowBytes },
      });
    }
    this.#windowBytes = windowBytes;
    this.#windowsBytes += windowBytes;
    this.#workBytes += windowBytes * takingWork;
    if (this.#windowsBytes > windowsFreeBytes + this.#takenBytes * windowBytesForByte) throw tooMany('frames');
  }

  #readBlock(header: number): void {
    const isLast = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3 || size > Math.min(this.#windowBytes, maxBlockBytes)) {
      throw archiveInvalid('the zstd around the archive is broken');
    }
    this.#countBlock();
    this.#workBytes += this.#windowBytes;
    // A run-length block has one byte, whatever its size says.
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
    message: `the zstd around the archive has too many ${what} for its size`,
  });
}

function readWindow(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Of a frame that has its content as its window: the size field at the end of the header. */
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
