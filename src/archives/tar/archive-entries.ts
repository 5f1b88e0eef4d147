/**
 * tar, gzip and zstd streams. Imported by archives/ only.
 */
import { Readable } from 'node:stream';
import { extract, type Extract, type Header } from 'tar-stream';
import { archiveInvalid } from '../../protocol/manifests/archive.js';
import { markOwned, SourceClosedError } from '../../util/streams/source-listener.js';
import type { RegistryError } from '../../protocol/errors.js';
import { TarHeaders } from './tar-headers.js';

const bufferBytes = 256 * 1024;
const maxPathLength = 1024;

/** A file, or a link to one. */
export interface ArchiveEntry {
  /** Relative, with single slashes and without `.` and `..`. */
  readonly path: string;
  /** For a link, the path of its target in the same form as `path`. */
  readonly target?: string;
  /** The size in the header. */
  readonly size: number;
  /** Must be read to the end before the next entry. */
  readonly bytes: Readable;
}

/**
 * Reads the files of a tar in order. Skips folders. Checks paths although we never use them as file names, so that the archive
 * is safe for others too.
 * @param isOwned whether no one else has the chunks of the tar.
 * @throws RegistryError ARCHIVE_INVALID for a broken tar, or one with entries that images do not have.
 */
export async function* readEntries(tar: AsyncIterable<Buffer>, isOwned = false): AsyncGenerator<ArchiveEntry> {
  const parser = extract({ highWaterMark: bufferBytes });
  // A failure here destroys the parser, so the loop below and the current entry fail with it.
  const feeding = feed(tar, parser).catch((error: Error) => parser.destroy(error));
  try {
    for await (const entry of parser) {
      const checked = checkHeader(entry.header);
      if (checked === undefined) {
        entry.resume();
        continue;
      }
      const bytes = Readable.from(entry, { objectMode: false, highWaterMark: bufferBytes });
      if (isOwned) markOwned(bytes);
      // The tar may fail when no one is reading the entry.
      bytes.on('error', () => {});
      yield { ...checked, size: entry.header.size, bytes };
    }
    await feeding;
  } catch (error) {
    throw explainTarError(error);
  } finally {
    parser.destroy();
  }
}

/** Translates errors of the tar parser into ARCHIVE_INVALID. Returns other errors unchanged. */
export function explainTarError(error: unknown): unknown {
  if (error instanceof SourceClosedError && error.cause !== undefined) return explainTarError(error.cause);
  if (!(error instanceof Error) || !/^(?:Invalid|Header exceeds|Unexpected end)/.test(error.message)) return error;
  const problem = error.message === 'Unexpected end of data' ? 'unexpected end of the archive' : error.message;
  return archiveInvalid(`the archive is not a valid tar: ${problem}`, undefined, error);
}

async function feed(tar: AsyncIterable<Buffer>, parser: Extract): Promise<void> {
  const headers = new TarHeaders();
  for await (const chunk of tar) {
    if (parser.destroying) return;
    // Checked before the parser, which would collect and merge all extension headers in front of a file.
    headers.check(chunk);
    if (!parser.write(chunk)) await drained(parser);
  }
  parser.end(null);
}

function drained(parser: Extract): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      parser.off('drain', done);
      parser.off('close', done);
      resolve();
    };
    parser.on('drain', done);
    parser.on('close', done);
  });
}

/** Returns the path and link target of an entry; `undefined` for a folder. */
function checkHeader(header: Header): Omit<ArchiveEntry, 'bytes' | 'size'> | undefined {
  const { name, linkname, pax } = header;
  const type: string | null = header.type;
  const isSparse = type === null || Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse'));
  const path = normalize(name);
  if (type === 'directory') return undefined;
  if (path === '') throw archiveInvalid('an entry of the archive has no name');
  if (isSparse)
    throw archiveInvalid(`the entry "${path}" of the archive is a sparse file, which images cannot contain`);
  if (type === 'file' || type === 'contiguous-file') return { path };
  if (type === 'symlink' || type === 'link') {
    // The target of a hard link is a path in the archive; that of a symbolic link is relative to its folder.
    const folder = type === 'symlink' ? path.slice(0, path.lastIndexOf('/') + 1) : '';
    if (linkname.startsWith('/')) throw leadsOut(linkname);
    return { path, target: normalize(folder + linkname, { mayGoUp: type === 'symlink' }) };
  }
  throw archiveInvalid(`the entry "${path}" of the archive is a ${type}, which images cannot contain`);
}

/** Normalizes a path. @throws RegistryError ARCHIVE_INVALID for a path that leaves the archive. */
function normalize(path: string, { mayGoUp } = { mayGoUp: false }): string {
  if (path.length > maxPathLength) throw archiveInvalid('a path in the archive is too long');
  if (path.startsWith('/') || path.includes('\0')) throw leadsOut(path);
  const parts: string[] = [];
  for (const part of path.split('/')) {
    // `docker save` links to `../<layer>/layer.tar`. No other path needs `..`.
    if (part === '..' && (!mayGoUp || parts.pop() === undefined)) throw leadsOut(path);
    if (part !== '..' && part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function leadsOut(path: string): RegistryError {
  return archiveInvalid('a path in the archive leaves the archive', { path: path.slice(0, 200) });
}
