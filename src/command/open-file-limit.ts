/** How many files this process may have open, and who may have how many of them. Imports nothing: `cli.ts` loads it first. */
import { readFileSync } from 'node:fs';

/** Below this, loading the program alone may fail. */
const minOpenFiles = 256;
/** Node with its worker threads, the log, and what the index has open besides its tables. */
const keptOpenFiles = 96;
/** A client's connection, the blob that it reads or writes, and a connection to an upstream. */
const filesPerConnection = 3;

/** Returns the limit of open files, or `undefined` where there is none or the system does not say. */
export function readOpenFileLimit(): number | undefined {
  try {
    return process.platform === 'linux' ? readLinuxLimit() : readReportedLimit();
  } catch {
    return undefined;
  }
}

/** Node has raised the soft limit to the hard one by now. */
function readLinuxLimit(): number | undefined {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return toLimit(soft);
}

/** macOS and other systems without /proc. Windows has no such limit. */
function readReportedLimit(): number | undefined {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  return toLimit(report.userLimits?.open_files?.soft);
}

function toLimit(value: unknown): number | undefined {
  const limit = Number(value);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : undefined;
}

/** Returns what is wrong with a limit that is too low to start with, and what to do. */
export function explainLowLimit(limit: number | undefined): string | undefined {
  if (limit === undefined || limit >= minOpenFiles) return undefined;
  return `the limit of open files is ${limit}, and at least ${minOpenFiles} are needed: ${howToRaise}`;
}

const howToRaise =
  'raise it with "ulimit -n 4096" in a shell, LimitNOFILE=4096 in a systemd unit, or --ulimit nofile=4096 for a container';

/** Returns an explanation when a module could not be loaded because too many files were open. */
export function explainLoadFailure(error: unknown, limit: number | undefined): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'EMFILE' && code !== 'ENFILE') return undefined;
  const found = code === 'EMFILE' && limit !== undefined ? ` (the limit is ${limit})` : '';
  return `the program could not be loaded because too many files are open${found}: ${howToRaise}`;
}

/** How the open files of a process are divided. */
export interface OpenFileShares {
  /** Connections of clients; more are refused. */
  readonly maxConnections: number | undefined;
  /** Tables of the index. */
  readonly maxIndexFiles: number;
  /** Folders of blobs that stay open to be synced. */
  readonly maxFolders: number;
  /** Uploads that stay open between two requests. */
  readonly maxIdleUploads: number;
}

/** Where the limit of open files allows more: each connection may hold 64 KiB of headers or 128 KiB of an answer. */
const maxDefaultConnections = 10_000;

/** Returns how many connections the standalone server accepts unless `server.maxConnections` is set. */
export function defaultMaxConnections(openFileLimit: number | undefined): number {
  return Math.min(divideOpenFiles(openFileLimit).maxConnections ?? Infinity, maxDefaultConnections);
}

/** Divides the limit of open files so that connections leave enough for the index and the blobs. */
export function divideOpenFiles(limit: number | undefined): OpenFileShares {
  const free = Math.max((limit ?? Infinity) - keptOpenFiles, 0);
  const eighth = Math.floor(free / 8);
  const maxFolders = Math.min(eighth, 512);
  const maxIdleUploads = Math.min(eighth, 256);
  // LevelDB takes 74 for the least. It maps most tables into memory, and then keeps none of them open.
  const maxIndexFiles = Math.min(Math.max(eighth, 74), 1000);
  const rest = free - maxFolders - maxIdleUploads;
  const maxConnections = limit === undefined ? undefined : Math.max(Math.floor(rest / filesPerConnection), 1);
  return { maxConnections, maxIndexFiles, maxFolders, maxIdleUploads };
}
