import { archiveInvalid } from '../../protocol/archive.js';
import { RegistryError } from '../../protocol/errors.js';

const blockBytes = 512;
/** What one `docker save` of a hundred images has is a tenth of it. */
const maxHeaders = 20_000;
/** A path or two, some times: what tools write is below one KiB. */
const maxExtensionBytes = 64 * 1024;
/** The parser copies the global one into each that follows. */
const maxGlobalBytes = 4 * 1024;
const maxGlobals = 16;
/** A global one, one for the file, a long name and a long link. */
const maxExtensionsInRow = 4;
/** Names, times, a size. */
const maxAttributes = 64;
const zeroBlock = Buffer.alloc(blockBytes);

/** Which bytes are read next; between them others are skipped. */
type State = 'header' | 'attributes' | 'global';

/**
 * Follows the headers of a tar, unpacking nothing: how many there are, and how much the parser behind it would hold for those
 * that only extend the next one. It has to see each header where the parser does, so it refuses whatever is in doubt.
 */
export class TarHeaders {
  #state: State = 'header';
  /** The bytes that are being read. */
  #field = Buffer.alloc(blockBytes);
  #filled = 0;
  #skip = 0;
  #headers = 0;
  #globals = 0;
  #extensionsInRow = 0;
  /** What an `x` header says of the next file: its own field has eleven octal digits. */
  #nextSize: number | undefined;

  /** @throws RegistryError ARCHIVE_INVALID; SIZE_INVALID 413 when a header wants too much memory. */
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
      // Two end an archive, but there are tools that append behind them; the parser goes on too.
      if (!isZero(field)) this.#readHeader(field);
      return;
    }
    const size = readAttributes(field);
    if (this.#state === 'attributes') this.#nextSize = size;
    else if (size !== undefined) throw broken('it has one size for all its files');
    this.#skip = inBlocks(field.length) - field.length;
    this.#expect('header', blockBytes);
  }

  #expect(state: State, wanted: number): void {
    this.#state = state;
    this.#filled = 0;
    if (this.#field.length !== wanted) this.#field = Buffer.alloc(wanted);
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
        message: 'the archive has a header of attributes or names that is too large',
        detail: { size, maxBytes },
      });
    }
    // The parser would take its bytes from the next file.
    if (size === 0) throw broken('it has an empty header');
    if (++this.#extensionsInRow > maxExtensionsInRow) throw broken('it has too many headers without a file');
    if (type === 'g' && ++this.#globals > maxGlobals) throw broken('it has too many global headers');
    if (type === 'x') this.#expect('attributes', size);
    else if (type === 'g') this.#expect('global', size);
    else this.#skip = inBlocks(size);
  }

  #readEntry(type: string, ownSize: number): void {
    const size = this.#nextSize ?? ownSize;
    this.#nextSize = undefined;
    this.#extensionsInRow = 0;
    // A folder has no bytes, whatever its size says.
    this.#skip = type === '5' ? 0 : inBlocks(size);
  }
}

/** As the parser tells an empty block: all but the checksum. */
function isZero(block: Buffer): boolean {
  return block.compare(zeroBlock, 0, 148, 0, 148) === 0 && block.compare(zeroBlock, 156, blockBytes, 156) === 0;
}

/** Octal digits; or binary behind a byte 0x80, as GNU has it, here up to 48 bits. */
function readSize(field: Buffer): number {
  if (field[0] === 0x80 && field.compare(zeroBlock, 0, 5, 1, 6) === 0) return field.readUIntBE(6, 6);
  const digits = /^ *\0*([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  if (digits === undefined) throw broken('a size in it is no number');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** The size among the attributes, each being `<length> <key>=<value>\n` (POSIX, pax, "pax Extended Header"). */
function readAttributes(records: Buffer): number | undefined {
  let size: string | undefined;
  let count = 0;
  for (let at = 0; at < records.length;) {
    if (++count > maxAttributes) throw archiveInvalid('an entry of the archive has too many attributes');
    const length = /^\d{1,6}(?= )/.exec(records.toString('latin1', at, at + 7))?.[0] ?? '';
    const end = at + Number(length);
    const equals = records.indexOf('=', at);
    const isRecord = length !== '' && end <= records.length && equals > at && equals < end && records[end - 1] === 0x0a;
    if (!isRecord) throw broken('the attributes of an entry are no list');
    if (records.toString('latin1', at + length.length + 1, equals) === 'size') {
      size = records.toString('latin1', equals + 1, end - 1);
    }
    at = end;
  }
  if (size === undefined || size === '') return undefined;
  if (!/^\d{1,15}$/.test(size)) throw broken('a size in it is no number');
  return Number(size);
}

function inBlocks(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes;
}

function broken(problem: string): RegistryError {
  return archiveInvalid(`the archive is no tar, or a broken one: ${problem}`);
}
