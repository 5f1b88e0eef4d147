import { RegistryError } from '../protocol/errors.js';
import { archiveInvalid } from '../protocol/archive.js';

/** RFC 8878, 3.1.1.1.2 recommends 8 MiB and more; `zstd -19` takes 8, `--long` and `--ultra` up to 128. */
const windowMostBytes = 32 * 1024 * 1024;

type State = 'magic' | 'descriptor' | 'header' | 'block' | 'skippable';

/** Follows the frames of zstd bytes, unpacking nothing: what memory they ask for, and whether they are whole (RFC 8878, 3). */
export class ZstdFrames {
  #state: State = 'magic';
  /** The bytes of the field that is being read. */
  readonly #field: number[] = [];
  #wanted = 4;
  #skip = 0;
  #hasChecksum = false;
  #headerFlags = 0;

  /** True between two frames. */
  get isWhole(): boolean {
    return this.#state === 'magic' && this.#field.length === 0 && this.#skip === 0;
  }

  /** @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 when a frame wants too large a window. */
  check(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      this.#field.push(chunk[at++] ?? 0);
      if (this.#field.length === this.#wanted) this.#read(Buffer.from(this.#field.splice(0)));
    }
  }

  #read(field: Buffer): void {
    switch (this.#state) {
      case 'magic':
        this.#readMagic(field.readUInt32LE());
        break;
      case 'skippable':
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
    if (windowBytes <= windowMostBytes) return;
    throw new RegistryError('SIZE_INVALID', {
      status: 413,
      message: 'the zstd around the archive needs too much memory: pack it with a smaller window, as zstd -19 does',
      detail: { windowBytes, mostBytes: windowMostBytes },
    });
  }

  #readBlock(header: number): void {
    const isLast = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    // A run-length block has one byte, whatever its size says.
    this.#skip = type === 1 ? 1 : header >> 3;
    if (!isLast) return;
    this.#skip += this.#hasChecksum ? 4 : 0;
    this.#expect('magic', 4);
  }
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
