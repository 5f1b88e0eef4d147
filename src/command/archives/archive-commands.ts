/** `artifactapi import` and `export`: send archives to a registry and receive them, with a progress line. */

import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { formatExamples } from '../client/client-command.js';
import type { ImportDocument } from '../../protocol/documents/archives.js';
import { addConnectionFlags, connect, connectTo, type Connection, type ConnectionFlags } from '../client/connection.js';
import { CommandError, reportFailure, usageError, type CommandIo } from '../command-io.js';
import { parseArchiveAddress, type ArchiveAddress } from './archive-address.js';
import { formatBytes, ProgressStream } from './progress.js';
import { removeFile, renameFile } from '../../storage/files/system/files.js';

interface ImportFlags extends ConnectionFlags {
  readonly to: string;
}

interface ExportFlags extends ConnectionFlags {
  readonly output: string;
  readonly platform?: string;
  readonly as?: string;
}

/** Adds `import` and `export`, which transfer archives to and from a registry. */
export function addArchiveCommands(program: Command, io: CommandIo): void {
  const importing = program
    .command('import')
    .description('Import a docker save archive or an OCI layout')
    .argument('<file>', 'tar archive, plain or compressed with gzip or zstd; - for standard input')
    .requiredOption('--to <address>', 'destination: <repository>, or <repository>/<image>:<tag>; may begin with a URL');
  addConnectionFlags(importing)
    .addHelpText('after', formatExamples(['artifactapi import image.tar --to local/team/app:1']))
    .action((file: string, flags: ImportFlags) => reportFailure(io, () => importFile(file, flags, io)));
  const exporting = program
    .command('export')
    .description('Export images of one repository as an OCI layout in a tar archive, which docker load can read')
    .argument('<address...>', 'images: <repository>/<image>:<tag>; may begin with a URL')
    .option('-o, --output <file>', 'output file; - for standard output', '-')
    .option('--platform <os/architecture>', 'export only this platform of multi-platform images')
    .option('--as <name:tag>', 'name of the image in the archive');
  addConnectionFlags(exporting)
    .addHelpText('after', formatExamples(['artifactapi export local/team/app:1 -o app.tar']))
    .action((addresses: readonly string[], flags: ExportFlags) =>
      reportFailure(io, () => exportImages(addresses, flags, io)),
    );
}

/** Connects to the registry that an address names, or else to the one that the flags name. */
async function connectFor({ origin }: ArchiveAddress, flags: ConnectionFlags, io: CommandIo): Promise<Connection> {
  if (origin === undefined) return connect(flags, io);
  if (flags.url !== undefined || flags.data !== undefined || flags.config !== undefined)
    throw usageError('the address names a registry, so --url, --data and --config cannot be used');
  return connectTo(new URL(origin), flags, io);
}

async function importFile(file: string, flags: ImportFlags, io: CommandIo): Promise<void> {
  const address = parseArchiveAddress(flags.to);
  const { repository, image, reference } = address;
  if (reference?.includes(':') === true) throw usageError('--to takes a tag, not a digest');
  const { source, size } = await openFile(file, io);
  const connection = await connectFor(address, flags, io);
  try {
    const answer = await connection.client.request('archive.import', {
      params: { repository },
      query: { image, tag: reference },
      headers: { 'Content-Type': 'application/x-tar', ...(size === undefined ? {} : { 'Content-Length': size }) },
      body: [source, new ProgressStream(io.stderr, size)],
    });
    // An answer with a status below 300 comes from the import operation.
    io.stdout.write(formatReport(answer as unknown as ImportDocument));
  } finally {
    source.destroy();
    await connection.close();
  }
}

async function openFile(
  file: string,
  { stdin }: CommandIo,
): Promise<{ readonly source: Readable; readonly size?: number }> {
  if (file === '-') return { source: stdin };
  const stats = await stat(file).catch((cause: Error) => {
    throw new CommandError(`the archive cannot be read: ${cause.message}`, { cause });
  });
  const source = createReadStream(file, { highWaterMark: 1024 * 1024 });
  return stats.isFile() ? { source, size: stats.size } : { source };
}

function formatReport({ images, blobs }: ImportDocument): string {
  const lines = images.map(({ name, tags, digest, platforms }) => {
    const names = tags.length === 0 ? [`${name}@${digest}`] : tags.map((tag) => `${name}:${tag}`);
    return `${names.join(' ')}  ${tags.length === 0 ? '' : `${digest}  `}${platforms.join(' ')}`.trimEnd();
  });
  const present = `${blobs.already_present} of them (${formatBytes(blobs.already_present_bytes)}) already present`;
  return [...lines, `${blobs.total} blobs (${formatBytes(blobs.bytes)}), ${present}`, ''].join('\n');
}

async function exportImages(addresses: readonly string[], flags: ExportFlags, io: CommandIo): Promise<void> {
  if (flags.output === '-' && io.stdout.isTTY === true) {
    throw usageError('refusing to write a tar archive to a terminal: use -o FILE, or redirect the output');
  }
  const { first, names } = readAddresses(addresses);
  const connection = await connectFor(first, flags, io);
  try {
    const query = { name: names, platform: flags.platform, as: flags.as };
    const answer = await connection.client.open('archive.export', { params: { repository: first.repository }, query });
    const length = Number(answer.headers['content-length']);
    await save(answer, new ProgressStream(io.stderr, Number.isNaN(length) ? undefined : length), flags.output, io);
  } finally {
    await connection.close();
  }
}

async function save(answer: Readable, progress: ProgressStream, output: string, io: CommandIo): Promise<void> {
  if (output === '-') {
    await copy(answer, progress, io.stdout);
    return;
  }
  // A truncated archive must not look complete.
  const partial = `${output}.part`;
  try {
    await copy(answer, progress, createWriteStream(partial));
    await renameFile(partial, output);
  } catch (error) {
    await removeFile(partial);
    throw error;
  }
}

async function copy(answer: Readable, progress: ProgressStream, sink: Writable): Promise<void> {
  await pipeline(answer, progress, sink).catch((cause: Error) => {
    throw new CommandError(`the transfer of the archive was interrupted: ${cause.message}`, { cause });
  });
}

/** Returns the first address, and the names of all images as the API takes them. */
function readAddresses(texts: readonly string[]): {
  readonly first: ArchiveAddress;
  readonly names: readonly string[];
} {
  const addresses = texts.map(parseArchiveAddress);
  const [first] = addresses;
  if (first === undefined) throw usageError('no image to export: give at least one address');
  const names = addresses.map(({ origin, repository, image, reference = 'latest' }) => {
    if (origin !== first.origin || repository !== first.repository) {
      throw usageError('an archive can only contain images of one repository: export each repository on its own');
    }
    if (image === undefined) throw usageError('the address has no image: write it as <repository>/<image>:<tag>');
    return `${image}${reference.includes(':') ? '@' : ':'}${reference}`;
  });
  return { first, names };
}
