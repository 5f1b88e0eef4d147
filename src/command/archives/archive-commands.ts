/** `artifactapi import` and `export`: send archives to a running server and receive them, with a progress line. */

import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import {
  ArchiveCommandError,
  authorizationOf,
  parseArchiveAddress,
  sendArchiveRequest,
  type ArchiveAddress,
} from './archive-client.js';
import { formatBytes, ProgressStream } from './progress.js';
import { removeFile, renameFile } from '../../storage/files/system/files.js';

interface ImportFlags {
  readonly to: string;
  readonly user?: string;
}

interface ExportFlags {
  readonly output: string;
  readonly platform?: string;
  readonly as?: string;
  readonly user?: string;
}

/** The parts of the answer to an import that the command prints. */
interface Report {
  readonly images: readonly { name: string; tags: readonly string[]; digest: string; platforms: readonly string[] }[];
  readonly blobs: { total: number; bytes: number; already_present: number; already_present_bytes: number };
}

/** Adds `import` and `export`, which transfer archives to and from a running registry. */
export function addArchiveCommands(program: Command): void {
  const user = '--user <name:password>';
  const userHelp = 'user name and password (or set ARTIFACTAPI_TOKEN to a token)';
  program
    .command('import')
    .description('Import a docker save archive or an OCI layout into a running registry')
    .argument('<file>', 'tar archive, plain or compressed with gzip or zstd; - for standard input')
    .requiredOption('--to <address>', 'destination: http://localhost:5000/<repository>, optionally with /<image>:<tag>')
    .option(user, userHelp)
    .action((file: string, flags: ImportFlags) => reportFailure(importFile(file, flags)));
  program
    .command('export')
    .description('Export images of one repository as an OCI layout in a tar archive, which docker load can read')
    .argument('<address...>', 'images: http://localhost:5000/<repository>/<image>:<tag>')
    .option('-o, --output <file>', 'output file; - for standard output', '-')
    .option('--platform <os/architecture>', 'export only this platform of multi-platform images')
    .option('--as <name:tag>', 'name of the image in the archive')
    .option(user, userHelp)
    .action((addresses: readonly string[], flags: ExportFlags) => reportFailure(exportImages(addresses, flags)));
}

async function reportFailure(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    // The user of the command needs the message, not the stack.
    process.stderr.write(`artifactapi: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

async function importFile(file: string, flags: ImportFlags): Promise<void> {
  const address = parseArchiveAddress(flags.to);
  const { image, reference } = address;
  if (reference?.includes(':') === true) throw new ArchiveCommandError('--to takes a tag, not a digest');
  const url = urlOf(address, 'import');
  if (image !== undefined) url.searchParams.set('image', image);
  if (reference !== undefined) url.searchParams.set('tag', reference);
  const { source, size } = await openFile(file);
  const headers = {
    ...authorizationOf(flags.user, process.env['ARTIFACTAPI_TOKEN']),
    'Content-Type': 'application/x-tar',
    ...(size === undefined ? {} : { 'Content-Length': size }),
  };
  const body = [source, new ProgressStream(process.stderr, size)] as const;
  const answer = await sendArchiveRequest({ method: 'POST', url, headers, body });
  // An answer with a status below 300 comes from the import operation.
  process.stdout.write(formatReport((await json(answer)) as Report));
}

async function openFile(file: string): Promise<{ readonly source: Readable; readonly size?: number }> {
  if (file === '-') return { source: process.stdin };
  const stats = await stat(file).catch((cause: Error) => {
    throw new ArchiveCommandError(`the archive cannot be read: ${cause.message}`, { cause });
  });
  const source = createReadStream(file, { highWaterMark: 1024 * 1024 });
  return stats.isFile() ? { source, size: stats.size } : { source };
}

function formatReport({ images, blobs }: Report): string {
  const lines = images.map(({ name, tags, digest, platforms }) => {
    const names = tags.length === 0 ? [`${name}@${digest}`] : tags.map((tag) => `${name}:${tag}`);
    return `${names.join(' ')}  ${tags.length === 0 ? '' : `${digest}  `}${platforms.join(' ')}`.trimEnd();
  });
  const present = `${blobs.already_present} of them (${formatBytes(blobs.already_present_bytes)}) already present`;
  return [...lines, `${blobs.total} blobs (${formatBytes(blobs.bytes)}), ${present}`, ''].join('\n');
}

async function exportImages(addresses: readonly string[], flags: ExportFlags): Promise<void> {
  if (flags.output === '-' && process.stdout.isTTY) {
    throw new ArchiveCommandError('refusing to write a tar archive to a terminal: use -o FILE, or redirect the output');
  }
  const headers = authorizationOf(flags.user, process.env['ARTIFACTAPI_TOKEN']);
  const answer = await sendArchiveRequest({
    method: 'GET',
    url: exportUrl(addresses.map(parseArchiveAddress), flags),
    headers,
  });
  const length = Number(answer.headers['content-length']);
  const progress = new ProgressStream(process.stderr, Number.isNaN(length) ? undefined : length);
  if (flags.output === '-') {
    await copy(answer, progress, process.stdout);
    return;
  }
  // A truncated archive must not look complete.
  const partial = `${flags.output}.part`;
  try {
    await copy(answer, progress, createWriteStream(partial));
    await renameFile(partial, flags.output);
  } catch (error) {
    await removeFile(partial);
    throw error;
  }
}

async function copy(answer: Readable, progress: ProgressStream, sink: Writable): Promise<void> {
  await pipeline(answer, progress, sink).catch((cause: Error) => {
    throw new ArchiveCommandError(`the transfer of the archive was interrupted: ${cause.message}`, { cause });
  });
}

function exportUrl(addresses: readonly ArchiveAddress[], { platform, as }: ExportFlags): URL {
  const [first] = addresses;
  if (first === undefined) throw new ArchiveCommandError('no image to export: give at least one address');
  const url = urlOf(first, 'export');
  for (const { origin, repository, image, reference = 'latest' } of addresses) {
    if (origin !== first.origin || repository !== first.repository) {
      throw new ArchiveCommandError(
        'an archive can only contain images of one repository: export each repository on its own',
      );
    }
    if (image === undefined)
      throw new ArchiveCommandError('the address has no image: write http://localhost:5000/<repository>/<image>');
    url.searchParams.append('name', `${image}${reference.includes(':') ? '@' : ':'}${reference}`);
  }
  if (platform !== undefined) url.searchParams.set('platform', platform);
  if (as !== undefined) url.searchParams.set('as', as);
  return url;
}

function urlOf({ origin, repository }: ArchiveAddress, operation: 'import' | 'export'): URL {
  return new URL(`/api/v1/repositories/${repository}/${operation}`, origin);
}
