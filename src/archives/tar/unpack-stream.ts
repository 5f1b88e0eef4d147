import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { archiveInvalid } from '../../protocol/archive.js';

/** Unpacks bytes as they come. @throws RegistryError ARCHIVE_INVALID for broken ones; SIZE_INVALID for what takes too much. */
export type Unpacker = (packed: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;

/** How much the unpackers of Node give at a time. */
export const unpackedChunkBytes = 256 * 1024;

/**
 * Sends packed bytes through an unpacker of `node:zlib`. Failures of the source are thrown as they are.
 * @throws RegistryError ARCHIVE_INVALID when the unpacker does not take the bytes.
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
    yield* unpacker as AsyncIterable<Buffer>;
    await feeding;
  } catch (error) {
    throw isZlibError(error) ? archiveInvalid(`the ${kind} around the archive is broken`, undefined, error) : error;
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
