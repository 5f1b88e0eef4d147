import { createHash, type Hash } from 'node:crypto';
import { Writable } from 'node:stream';
import { pack } from 'tar-stream';
import type { BlobContent } from '../../ports/bytes.js';
import { algorithmOf, formatDigest, type Digest } from '../../protocol/digest.js';
import { writeBytes } from '../../util/streams/sink-writer.js';

const blockBytes = 512;
/** The size of the path field in a header. */
const maxPathBytes = 100;
/** Two empty blocks end a tar. */
const trailer = Buffer.alloc(2 * blockBytes);

/** A file to write into a tar. */
export interface TarFile {
  readonly path: string;
  readonly size: number;
  /** The digest that its bytes are verified against while they are sent. */
  readonly digest?: Digest;
  open(): Promise<Pick<BlobContent, 'writeTo'>>;
}

/** A file and the size of its header. */
interface HeadedFile extends TarFile {
  readonly headerBytes: number;
}

/** A tar whose files are opened one after the other. The same files always result in the same bytes. */
export class TarContent implements BlobContent {
  readonly size: number;
  readonly #files: readonly HeadedFile[];

  private constructor(files: readonly HeadedFile[]) {
    this.#files = files;
    this.size = files.reduce(
      (sum, { headerBytes, size }) => sum + headerBytes + size + paddingOf(size),
      trailer.length,
    );
  }

  /** Encodes long headers once to learn their size, so invalid paths and sizes are found before anything is sent. */
  static async of(files: readonly TarFile[]): Promise<TarContent> {
    const headed: HeadedFile[] = [];
    for (const file of files) headed.push({ ...file, headerBytes: await measureHeader(file) });
    return new TarContent(headed);
  }

  async writeTo(sink: Writable): Promise<void> {
    for (const file of this.#files) {
      await writeBytes(sink, await encodeHeader(file));
      await writeVerified(sink, file);
      await writeBytes(sink, Buffer.alloc(paddingOf(file.size)));
    }
    await writeBytes(sink, trailer);
  }
}

/** Returns a file with bytes in memory. */
export function fileOf(path: string, bytes: Buffer): TarFile {
  return { path, size: bytes.length, open: async () => ({ writeTo: (sink) => writeBytes(sink, bytes) }) };
}

function paddingOf(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

/** Returns the size of a header. Only headers of long paths are encoded; all others have one block. */
async function measureHeader(file: TarFile): Promise<number> {
  return file.path.length <= maxPathBytes ? blockBytes : (await encodeHeader(file)).length;
}

/**
 * Encodes the header of a file: one block, with a binary size if eleven octal digits are too few. Longer paths, such as those
 * of sha512, get an extended header in front (POSIX, pax, "pax Extended Header").
 */
async function encodeHeader({ path, size }: TarFile): Promise<Buffer> {
  const packer = pack();
  packer.entry({ name: path, size, mode: 0o644, mtime: new Date(0) });
  let header: Buffer = Buffer.alloc(0);
  // Streams without an encoding yield buffers; their type says `any`.
  for await (const block of packer as AsyncIterable<Buffer>) {
    header = Buffer.concat([header, block]);
    if (header.length >= headerLength(header)) break;
  }
  return header;
}

/** Returns the length of a header from its first block. An extended header is followed by its records and the file's own block. */
function headerLength(block: Buffer): number {
  if (block.toString('latin1', 156, 157) !== 'x') return blockBytes;
  const recordsBytes = Number.parseInt(block.toString('latin1', 124, 135), 8);
  return blockBytes + recordsBytes + paddingOf(recordsBytes) + blockBytes;
}

async function writeVerified(sink: Writable, file: TarFile): Promise<void> {
  const { path, size, digest } = file;
  const content = await file.open();
  const through = new CountingSink(sink, digest === undefined ? undefined : createHash(algorithmOf(digest)));
  await content.writeTo(through);
  through.detach();
  const { bytes, hash } = through;
  const found = digest === undefined || hash === undefined ? undefined : formatDigest(algorithmOf(digest), hash);
  // The client already has these bytes, but never gets the end of the tar.
  if (bytes !== size || found !== digest) throw new Error(`${path} is damaged: ${found ?? ''} with ${bytes} bytes`);
}

/** Passes bytes on to its target, counts and hashes them, and closes when the target closes. */
class CountingSink extends Writable {
  readonly hash: Hash | undefined;
  bytes = 0;
  readonly #target: Writable;
  readonly #onClose = (): void => void this.destroy();

  constructor(target: Writable, hash: Hash | undefined) {
    super({ highWaterMark: 1 });
    this.hash = hash;
    this.#target = target;
    target.on('close', this.#onClose);
    if (target.destroyed) this.destroy();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.hash?.update(chunk);
    this.bytes += chunk.length;
    this.#target.write(chunk, done);
  }

  detach(): void {
    this.#target.off('close', this.#onClose);
  }
}
