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
import { removeFile, renameFile } from '../storage/files/system/files.js';

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

/** The parts of the answer to an import that are told. */
interface Report {
  readonly images: readonly { name: string; tags: readonly string[]; digest: string; platforms: readonly string[] }[];
  readonly blobs: { total: number; bytes: number; already_present: number; already_present_bytes: number };
}

/** Adds `import` and `export`, which bring archives to a registry that runs and from it. */
export function addArchiveCommands(program: Command): void {
  const user = '--user <name:password>';
  const userHelp = 'whom to log in as (or a token in ARTIFACTAPI_TOKEN)';
  program
    .command('import')
    .description('Bring a tar of docker save, or of an OCI layout, to a registry; - reads it from standard input.')
    .argument('<file>', 'the archive, plain, gzip or zstd')
    .requiredOption('--to <address>', 'where: http://localhost:5000/<repository>, perhaps with /<image>:<tag>')
    .option(user, userHelp)
    .action((file: string, flags: ImportFlags) => tell(importFile(file, flags)));
  program
    .command('export')
    .description('Get images of one repository as a tar, for docker load and for whatever reads OCI layouts.')
    .argument('<address...>', 'what: http://localhost:5000/<repository>/<image>:<tag>')
    .option('-o, --output <file>', 'where to, - for standard output', '-')
    .option('--platform <os/architecture>', 'of images for several platforms, only this one')
    .option('--as <name:tag>', 'what to call the image in the archive')
    .option(user, userHelp)
    .action((addresses: readonly string[], flags: ExportFlags) => tell(exportImages(addresses, flags)));
}

async function tell(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    // For whoever gave the command: in words, without a stack.
    process.stderr.write(`artifactapi: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

async function importFile(file: string, flags: ImportFlags): Promise<void> {
  const address = parseArchiveAddress(flags.to);
  const { image, reference } = address;
  if (reference?.includes(':') === true) throw new ArchiveCommandError('--to takes a tag, no digest');
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
  const there = `${blobs.already_present} of them (${formatBytes(blobs.already_present_bytes)}) were there already`;
  return [...lines, `${blobs.total} blobs (${formatBytes(blobs.bytes)}), ${there}`, ''].join('\n');
}

async function exportImages(addresses: readonly string[], flags: ExportFlags): Promise<void> {
  if (flags.output === '-' && process.stdout.isTTY) {
    throw new ArchiveCommandError('a terminal is no place for a tar: say where to with -o, or redirect the output');
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
  // A part of an archive must not look like one.
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
    throw new ArchiveCommandError(`the archive did not come to its end: ${cause.message}`, { cause });
  });
}

function exportUrl(addresses: readonly ArchiveAddress[], { platform, as }: ExportFlags): URL {
  const [first] = addresses;
  if (first === undefined) throw new ArchiveCommandError('there is nothing to export');
  const url = urlOf(first, 'export');
  for (const { origin, repository, image, reference = 'latest' } of addresses) {
    if (origin !== first.origin || repository !== first.repository) {
      throw new ArchiveCommandError('one archive has images of one repository');
    }
    if (image === undefined)
      throw new ArchiveCommandError('say which image: http://localhost:5000/<repository>/<image>');
    url.searchParams.append('name', `${image}${reference.includes(':') ? '@' : ':'}${reference}`);
  }
  if (platform !== undefined) url.searchParams.set('platform', platform);
  if (as !== undefined) url.searchParams.set('as', as);
  return url;
}

function urlOf({ origin, repository }: ArchiveAddress, operation: 'import' | 'export'): URL {
  return new URL(`/api/v1/repositories/${repository}/${operation}`, origin);
}
