import { Readable } from 'node:stream';
import { extract, type Extract, type Header } from 'tar-stream';
import { archiveInvalid } from '../../protocol/archive.js';
import { SourceClosedError } from '../../util/source-listener.js';
import type { RegistryError } from '../../protocol/errors.js';
import { TarHeaders } from './tar-headers.js';

const bufferBytes = 256 * 1024;
const maxPathLength = 1024;

/** One file, or a name for another one. */
export interface ArchiveEntry {
  /** Relative, with single slashes and without `.` and `..`. */
  readonly path: string;
  /** Of a link: the path of what it stands for, as `path` is written. */
  readonly target?: string;
  /** As its header says. */
  readonly size: number;
  /** To be read to its end before the next entry. */
  readonly bytes: Readable;
}

/**
 * The files of a tar as they come. Folders are passed over. Nothing is written anywhere by these names; they are checked all
 * the same, since whoever unpacks an export should not have to.
 * @throws RegistryError ARCHIVE_INVALID for a tar that is broken, or holds what an image's does not.
 */
export async function* readEntries(tar: AsyncIterable<Buffer>): AsyncGenerator<ArchiveEntry> {
  const parser = extract({ highWaterMark: bufferBytes });
  // What fails here comes out of the parser below, and out of the entry that is being read.
  const feeding = feed(tar, parser).catch((error: Error) => parser.destroy(error));
  try {
    for await (const entry of parser) {
      const checked = checkHeader(entry.header);
      if (checked === undefined) {
        entry.resume();
        continue;
      }
      const bytes = Readable.from(entry, { objectMode: false, highWaterMark: bufferBytes });
      // Nobody may be reading them by the time that the tar fails.
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

/** What the parser, or what is in front of it, says of a broken tar: it is true, but in the parser's own words. */
export function explainTarError(error: unknown): unknown {
  if (error instanceof SourceClosedError && error.cause !== undefined) return explainTarError(error.cause);
  if (!(error instanceof Error) || !/^(?:Invalid|Header exceeds|Unexpected end)/.test(error.message)) return error;
  const problem = error.message === 'Unexpected end of data' ? 'it ends early' : error.message;
  return archiveInvalid(`the archive is no tar, or a broken one: ${problem}`, undefined, error);
}

async function feed(tar: AsyncIterable<Buffer>, parser: Extract): Promise<void> {
  const headers = new TarHeaders();
  for await (const chunk of tar) {
    if (parser.destroying) return;
    // Before the parser sees it: it would hold and merge whatever stands in front of a file.
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

/** `undefined` for a folder. */
function checkHeader(header: Header): Omit<ArchiveEntry, 'bytes' | 'size'> | undefined {
  const { name, linkname, pax } = header;
  const type: string | null = header.type;
  const isSparse = type === null || Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse'));
  const path = normalize(name);
  if (type === 'directory') return undefined;
  if (path === '') throw archiveInvalid('an entry of the archive has no name');
  if (isSparse) throw archiveInvalid(`${path} in the archive is of a kind that no image has, as sparse files are`);
  if (type === 'file' || type === 'contiguous-file') return { path };
  if (type === 'symlink' || type === 'link') {
    // A hard link has a path of the archive, a symbolic one begins where it lies.
    const folder = type === 'symlink' ? path.slice(0, path.lastIndexOf('/') + 1) : '';
    if (linkname.startsWith('/')) throw leadsOut(linkname);
    return { path, target: normalize(folder + linkname, { mayGoUp: type === 'symlink' }) };
  }
  throw archiveInvalid(`${path} in the archive is a ${type}, which no image has`);
}

/** @throws RegistryError ARCHIVE_INVALID for a path that leads out of the archive. */
function normalize(path: string, { mayGoUp } = { mayGoUp: false }): string {
  if (path.length > maxPathLength) throw archiveInvalid('a path in the archive is too long');
  if (path.startsWith('/') || path.includes('\0')) throw leadsOut(path);
  const parts: string[] = [];
  for (const part of path.split('/')) {
    // `docker save` links to `../<layer>/layer.tar`; no other path has a reason to go up.
    if (part === '..' && (!mayGoUp || parts.pop() === undefined)) throw leadsOut(path);
    if (part !== '..' && part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function leadsOut(path: string): RegistryError {
  return archiveInvalid('a path in the archive leads out of it', { path: path.slice(0, 200) });
}
