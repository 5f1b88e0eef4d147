import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { BlockList } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { RegistryOptions } from '../../options/generated/registry-options.js';
import { checkAuditFile } from '../../operations/audit-check.js';
import { isBucketStorage } from '../../options/storage-schema.js';
import { checkFolderStores } from '../../storage/folder-check.js';
import type { ServeSettings } from './serve-settings.js';
import type { ServerOptions } from './server.js';
import {
  explainStorageError,
  explainHostError,
  explainTlsError,
  explainUnguarded,
  type StartError,
  toStartError,
} from './start-error.js';
import { folderOf } from './storage-settings.js';
import { checkSocketPath } from './listeners/unix-socket.js';

/** The dependencies of a server besides its settings. */
export interface StartParts {
  readonly access: NonNullable<RegistryOptions['access']>;
  /** Whether only this machine can reach the server. */
  readonly onLoopback: boolean;
  /** The certificate and the key. Absent: plain http. */
  readonly tls: ServerOptions['tls'];
}

/** A reason why the server cannot start, and the path of the option that causes it. */
interface StartProblem {
  readonly path: string;
  readonly error: StartError;
}

/** The parts of a start; `undefined` if there are problems. */
export interface Examined {
  readonly parts: StartParts | undefined;
  readonly problems: readonly StartProblem[];
}

/**
 * Resolves the host, reads every file that the settings name, and checks the data folder. `serve`, its reload and
 * `check-config` all call it. It writes nothing, does not open the index, and contacts no upstream.
 */
export async function examineStart(settings: ServeSettings): Promise<Examined> {
  const problems: StartProblem[] = [];
  const attempt = async <T>(path: string, work: Promise<T>, explain: (cause: unknown) => StartError) =>
    work.catch((cause: unknown) => void problems.push({ path, error: explain(cause) }));
  const { host, storage } = settings;
  const explain = (cause: unknown): StartError => explainStorageError(cause, folderOf(storage));
  const { hasPort, socket } = settings;
  const onLoopback = hasPort
    ? await attempt('server.host', isLoopback(host), (cause) => explainHostError(cause, host))
    : true;
  if (socket !== undefined) {
    await attempt('server.socket', checkSocketPath(socket.path, process.platform), (cause) => toStartError(cause));
  }
  await examineMetrics(settings.metrics, attempt);
  const access = onLoopback === undefined ? settings.access : accessOf(settings, onLoopback);
  if (access === undefined && onLoopback !== undefined) {
    problems.push({
      path: 'access',
      error: explainUnguarded(onLoopback ? 'the registry through a trusted proxy' : host),
    });
  }
  const tls = await readTls(settings.tls, attempt);
  await attempt('access.htpasswd', readHtpasswd(settings.access), explain);
  const { audit } = settings.registry;
  if (audit !== undefined) await attempt('audit.file', checkAuditFile(audit.file), explain);
  await attempt('storage', checkStorage(storage), explain);
  await attempt('storage.blobs.s3.credentials', checkBucket(storage), toStartError);
  const isComplete = problems.length === 0 && access !== undefined && onLoopback !== undefined;
  return { parts: isComplete ? { access, onLoopback, tls } : undefined, problems };
}

/** An index in a database has no folder: it is first contacted by the start. */
async function checkStorage(storage: ServeSettings['storage']): Promise<void> {
  const folder = folderOf(storage);
  if (folder !== undefined) await checkFolderStores(folder, typeof storage === 'string' ? 'folder' : 'bucket');
}

/** Loads the code only if there is a bucket, for a faster start. The bucket is first contacted by the start. */
async function checkBucket(storage: ServeSettings['storage']): Promise<void> {
  if (!isBucketStorage(storage)) return;
  const { checkCredentials } = await import('../../composition/stores/open-bucket.js');
  checkCredentials(storage.blobs.s3);
}

type Attempt = <T>(path: string, work: Promise<T>, explain: (cause: unknown) => StartError) => Promise<T | void>;

async function examineMetrics(place: ServeSettings['metrics'], attempt: Attempt): Promise<void> {
  if (place === undefined) return;
  if ('socket' in place) {
    const { path } = place.socket;
    await attempt('server.metrics.socket', checkSocketPath(path, process.platform), (cause) => toStartError(cause));
  } else {
    await attempt('server.metrics.host', lookup(place.host), (cause) => explainHostError(cause, place.host));
  }
}

/** A trusted proxy lets other machines reach a registry on loopback. */
function accessOf({ access, registry }: ServeSettings, onLoopback: boolean): ServeSettings['access'] {
  const isProxied = (registry.trustedProxies ?? []).length > 0;
  return access ?? (onLoopback && !isProxied ? 'open' : undefined);
}

/** Returns whether every address of the host is a loopback address. */
async function isLoopback(host: string): Promise<boolean> {
  const addresses = await lookup(host, { all: true });
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  return addresses.every(({ address, family }) => loopback.check(address, family === 6 ? 'ipv6' : 'ipv4'));
}

async function readTls(files: ServeSettings['tls'], attempt: Attempt): Promise<ServerOptions['tls']> {
  if (files === undefined) return undefined;
  const cert = await attempt('server.tls.cert', readFile(files.cert), explainTlsError);
  const key = await attempt('server.tls.key', readFile(files.key), explainTlsError);
  if (cert === undefined || key === undefined) return undefined;
  await attempt('server.tls', checkPair(cert, key), explainTlsError);
  return { cert, key };
}

/** @throws Error if the key is not that of the certificate, or one of them is not PEM. */
async function checkPair(cert: Buffer, key: Buffer): Promise<void> {
  createSecureContext({ cert, key });
}

/** Loads the code only if there is such a file, for a faster start. @throws HtpasswdError */
async function readHtpasswd(access: ServeSettings['access']): Promise<void> {
  if (typeof access !== 'object' || access.htpasswd === undefined) return;
  const { checkHtpasswd } = await import('../../access/htpasswd-check.js');
  await checkHtpasswd(access.htpasswd);
}
