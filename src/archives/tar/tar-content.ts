import { createHash, type Hash } from 'node:crypto';
import { Writable } from 'node:stream';
import { pack } from 'tar-stream';
import type { BlobContent } from '../../ports/bytes.js';
import { algorithmOf, formatDigest, type Digest } from '../../protocol/digest.js';
import { SinkWriter } from '../../util/sink-writer.js';

const blockBytes = 512;
/** The field of a header that has the path. */
const maxPathBytes = 100;
/** Two empty blocks end a tar. */
const trailer = Buffer.alloc(2 * blockBytes);

/** A file of a tar that is written. */
export interface TarFile {
  readonly path: string;
  readonly size: number;
  /** What its bytes are held to while they are sent. */
  readonly digest?: Digest;
  open(): Promise<Pick<BlobContent, 'writeTo'>>;
}

/** A file with the header that goes in front of it. */
interface HeadedFile extends TarFile {
  readonly headerBytes: number;
}

/** A tar of files that are opened one after the other; always the same bytes for the same files. */
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

  /** Whatever can be wrong with the paths and sizes is found here, before anything is sent. */
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

/** Bytes in memory as a file. */
export function fileOf(path: string, bytes: Buffer): TarFile {
  return { path, size: bytes.length, open: async () => ({ writeTo: (sink) => writeBytes(sink, bytes) }) };
}

function paddingOf(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

/** Most paths fit into the header itself; only longer ones are worth encoding twice. */
async function measureHeader(file: TarFile): Promise<number> {
  return file.path.length <= maxPathBytes ? blockBytes : (await encodeHeader(file)).length;
}

/**
 * One block, with the size in binary where its eleven octal digits are too few. A path that is too long for it, as those of
 * sha512 are, stands in an extended header in front (POSIX, pax, "pax Extended Header").
 */
async function encodeHeader({ path, size }: TarFile): Promise<Buffer> {
  const packer = pack();
  packer.entry({ name: path, size, mode: 0o644, mtime: new Date(0) });
  let header: Buffer = Buffer.alloc(0);
  for await (const block of packer as AsyncIterable<Buffer>) {
    header = Buffer.concat([header, block]);
    if (header.length >= headerLength(header)) break;
  }
  return header;
}

/** The length of a header that begins with this block: an extended one has its records and the file's own block behind it. */
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
  // By now the client has the bytes, but no end of the tar, and never gets one.
  if (bytes !== size || found !== digest) throw new Error(`${path} is damaged: ${found ?? ''} with ${bytes} bytes`);
}

/** Hands on what it is given, and closes when its target does. */
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

async function writeBytes(sink: Writable, bytes: Buffer): Promise<void> {
  if (bytes.length === 0) return;
  const writer = new SinkWriter(sink);
  try {
    await writer.write(bytes);
  } finally {
    writer.release();
  }
}
