import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { archiveInvalid } from '../../protocol/manifests/archive.js';

/** Decompresses a stream. @throws RegistryError ARCHIVE_INVALID for corrupt bytes; SIZE_INVALID if it needs too much memory or work. */
export type Unpacker = (packed: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;

/** The chunk size of Node's decompressors. */
export const unpackedChunkBytes = 256 * 1024;

/**
 * Decompresses bytes with a stream of `node:zlib`. Rethrows errors of the source unchanged.
 * @throws RegistryError ARCHIVE_INVALID for corrupt bytes.
 */
export async function* unpackBy(
  unpacker: Transform,
  packed: AsyncIterable<Buffer>,
  kind: string,
): AsyncGenerator<Buffer> {
  let failure: unknown;
  const feeding = pipeline(packed, unpacker).catch((error: unknown) => {
    failure = error;
  });
  try {
    // Streams without an encoding yield buffers; their type says `any`.
    yield* unpacker as AsyncIterable<Buffer>;
    await feeding;
  } catch (error) {
    throw isZlibError(error) ? archiveInvalid(`the ${kind} data of the archive is corrupt`, undefined, error) : error;
  } finally {
    unpacker.destroy();
  }
  if (failure !== undefined) throw failure;
}

function isZlibError(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && /^(?:Z_|ZSTD_)/.test(error.code)
  );
}
