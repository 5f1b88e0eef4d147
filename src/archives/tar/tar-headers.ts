import { archiveInvalid } from '../../protocol/manifests/archive.js';
import { RegistryError } from '../../protocol/errors.js';

const blockBytes = 512;
/** Ten times as many as a `docker save` of a hundred images has. */
const maxHeaders = 20_000;
/** Tools write some paths and times, which take less than 1 KiB. */
const maxExtensionBytes = 64 * 1024;
/** The parser copies global attributes into each following header. */
const maxGlobalBytes = 4 * 1024;
const maxGlobals = 16;
/** A global header, an extended header, a long name and a long link. */
const maxExtensionsInRow = 4;
/** Names, times, a size. */
const maxAttributes = 64;
const zeroBlock = Buffer.alloc(blockBytes);

/** The kind of bytes to read next, after skipped ones. */
type State = 'header' | 'attributes' | 'global';

/**
 * Follows the headers of a tar and limits their number and the memory that the parser behind it needs for extension headers. It
 * must find each header where the parser finds it, so it refuses everything ambiguous.
 */
export class TarHeaders {
  #state: State = 'header';
  /** The bytes being read. */
  #field = Buffer.alloc(blockBytes);
  #filled = 0;
  #skip = 0;
  #headers = 0;
  #globals = 0;
  #extensionsInRow = 0;
  /** The size of the next file from an `x` header, which may exceed eleven octal digits. */
  #nextSize: number | undefined;

  /** Checks the next bytes of the tar. @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 if a header is too large. */
  check(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      const copied = chunk.copy(this.#field, this.#filled, at);
      this.#filled += copied;
      at += copied;
      if (this.#filled === this.#field.length) this.#read(this.#field);
    }
  }

  #read(field: Buffer): void {
    if (this.#state === 'header') {
      this.#expect('header', blockBytes);
      // Two zero blocks end an archive, but some tools append after them, and the parser continues too.
      if (!isZero(field)) this.#readHeader(field);
      return;
    }
    const size = readAttributes(field);
    if (this.#state === 'attributes') this.#nextSize = size;
    else if (size !== undefined) throw broken('a global header has a size');
    this.#skip = inBlocks(field.length) - field.length;
    this.#expect('header', blockBytes);
  }

  #expect(state: State, bytes: number): void {
    this.#state = state;
    this.#filled = 0;
    if (this.#field.length !== bytes) this.#field = Buffer.alloc(bytes);
  }

  #readHeader(header: Buffer): void {
    if (++this.#headers > maxHeaders) throw archiveInvalid(`the archive has more than ${maxHeaders} entries`);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = readSize(header.subarray(124, 136));
    if ('xgLKN'.includes(type)) this.#readExtension(type, size);
    else this.#readEntry(type, size);
  }

  /** POSIX (pax, "ustar Interchange Format"): `x` and `g`. GNU: `L` and `K`, and `N`, which is an old `L`. */
  #readExtension(type: string, size: number): void {
    const maxBytes = type === 'g' ? maxGlobalBytes : maxExtensionBytes;
    if (size > maxBytes) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: 'an extended header in the archive is too large',
        detail: { size, maxBytes },
      });
    }
    // The parser would read its content from the next file.
    if (size === 0) throw broken('empty extension header');
    if (++this.#extensionsInRow > maxExtensionsInRow) throw broken('too many extension headers without a file');
    if (type === 'g' && ++this.#globals > maxGlobals) throw broken('too many global headers');
    if (type === 'x') this.#expect('attributes', size);
    else if (type === 'g') this.#expect('global', size);
    else this.#skip = inBlocks(size);
  }

  #readEntry(type: string, ownSize: number): void {
    const size = this.#nextSize ?? ownSize;
    this.#nextSize = undefined;
    this.#extensionsInRow = 0;
    // A folder has no content, even if its header has a size.
    this.#skip = type === '5' ? 0 : inBlocks(size);
  }
}

/** Returns whether a block is empty. Like the parser, ignores the checksum. */
function isZero(block: Buffer): boolean {
  return block.compare(zeroBlock, 0, 148, 0, 148) === 0 && block.compare(zeroBlock, 156, blockBytes, 156) === 0;
}

/** Parses octal digits, or GNU's binary form of up to 48 bits after a byte 0x80. */
function readSize(field: Buffer): number {
  if (field[0] === 0x80 && field.compare(zeroBlock, 0, 5, 1, 6) === 0) return field.readUIntBE(6, 6);
  const digits = /^ *\0*([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  if (digits === undefined) throw broken('a size is not a number');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** Returns the attribute `size`. Each attribute has the form `<length> <key>=<value>\n` (POSIX, pax, "pax Extended Header"). */
function readAttributes(records: Buffer): number | undefined {
  let size: string | undefined;
  let count = 0;
  for (let at = 0; at < records.length;) {
    if (++count > maxAttributes) throw archiveInvalid('an entry of the archive has too many attributes');
    const length = /^\d{1,6}(?= )/.exec(records.toString('latin1', at, at + 7))?.[0] ?? '';
    const end = at + Number(length);
    const equals = records.indexOf('=', at);
    const isRecord = length !== '' && end <= records.length && equals > at && equals < end && records[end - 1] === 0x0a;
    if (!isRecord) throw broken('malformed attributes');
    if (records.toString('latin1', at + length.length + 1, equals) === 'size') {
      size = records.toString('latin1', equals + 1, end - 1);
    }
    at = end;
  }
  if (size === undefined || size === '') return undefined;
  if (!/^\d{1,15}$/.test(size)) throw broken('a size is not a number');
  return Number(size);
}

function inBlocks(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes;
}

function broken(problem: string): RegistryError {
  return archiveInvalid(`the archive is not a valid tar: ${problem}`);
}
