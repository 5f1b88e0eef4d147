/** Divides the limit of open files. Imports no other module: `cli.ts` bundles this one with itself. */
import { readFileSync } from 'node:fs';

/** Below this, loading the program alone may fail. */
const minOpenFiles = 256;
/** Files for Node with its worker threads, the log, and the index without its tables. */
const reservedOpenFiles = 96;
/** The client's connection, the blob that it reads or writes, and a connection to an upstream. */
const filesPerConnection = 3;

/** Returns the limit of open files; `undefined` if there is none or it cannot be read. */
export function readOpenFileLimit(): number | undefined {
  try {
    return process.platform === 'linux' ? readLinuxLimit() : readReportedLimit();
  } catch {
    return undefined;
  }
}

/** Reads the soft limit, which Node has already raised to the hard one. */
function readLinuxLimit(): number | undefined {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return toLimit(soft);
}

/** Reads the limit on systems without /proc, such as macOS. Windows has no limit. */
function readReportedLimit(): number | undefined {
  // Node's types declare the report as `object`.
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  return toLimit(report.userLimits?.open_files?.soft);
}

function toLimit(value: unknown): number | undefined {
  const limit = Number(value);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : undefined;
}

/** Returns an error message if the limit is too low to start. */
export function explainLowLimit(limit: number | undefined): string | undefined {
  if (limit === undefined || limit >= minOpenFiles) return undefined;
  return `the limit of open files is ${limit}, but at least ${minOpenFiles} are needed: ${howToRaise}`;
}

const howToRaise =
  'raise it with "ulimit -n 4096" in a shell, LimitNOFILE=4096 in a systemd unit, or --ulimit nofile=4096 for a container';

/** Returns an error message if a module could not be loaded because too many files are open. */
export function explainLoadFailure(error: unknown, limit: number | undefined): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'EMFILE' && code !== 'ENFILE') return undefined;
  const found = code === 'EMFILE' && limit !== undefined ? ` (the limit is ${limit})` : '';
  return `the program could not be loaded because too many files are open${found}: ${howToRaise}`;
}

/** The shares of the open files of a process. */
export interface OpenFileShares {
  /** Connections of clients. Further ones are refused. */
  readonly maxConnections: number | undefined;
  /** Tables of the index. */
  readonly maxIndexFiles: number;
  /** Blob folders that stay open for fsync. */
  readonly maxFolders: number;
  /** Staged files of uploads that stay open between two requests, and as many files of unsynced blobs. */
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
  const free = Math.max((limit ?? Infinity) - reservedOpenFiles, 0);
  const eighth = Math.floor(free / 8);
  const maxFolders = Math.min(eighth, 512);
  const maxIdleUploads = Math.min(eighth, 256);
  // 74 is LevelDB's minimum. It maps most tables into memory, and those do not stay open.
  const maxIndexFiles = Math.min(Math.max(eighth, 74), 1000);
  const rest = free - maxFolders - 2 * maxIdleUploads;
  const maxConnections = limit === undefined ? undefined : Math.max(Math.floor(rest / filesPerConnection), 1);
  return { maxConnections, maxIndexFiles, maxFolders, maxIdleUploads };
}
