import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';
import type { Image } from './images.js';
import { startRegistry } from './registry-server.js';

/** A request in the log of an upstream. */
interface UpstreamRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly status: number;
}

/** A registry behind a cache. */
export interface Upstream {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** Returns all requests since it was started. */
  requests(): UpstreamRequest[];
  /** Its process. */
  stop(): Promise<void>;
}

/** An account of upstreams with authentication, and its htpasswd line (bcrypt, cost 4). */
export const upstreamAccount = {
  username: 'cache',
  password: 'upstream-secret',
  line: 'cache:$2b$04$etXB/w2nA1mer0HWrQQAGeGrDLSYMR7FPw4IxH0wU8yUA3cKiqPMG',
};

export interface DistributionOptions {
  /** Requires the credentials of `upstreamAccount` by Basic authentication. @default false */
  readonly basic?: boolean;
  /** @default a port that the system chooses */
  readonly port?: number;
  /** The program. @default docker-registry, of Debian */
  readonly program?: string;
  /** The URL that gets its notifications, which include deletes: they are allowed then. @default none */
  readonly notify?: string;
}

let starts = 0;

/** Starts CNCF distribution. Its data is in `folder/distribution`; a second start in the same folder uses the same data. */
export async function startDistribution(
  folder: string,
  { basic = false, port = 0, program = 'docker-registry', notify }: DistributionOptions = {},
): Promise<Upstream> {
  const name = `distribution-${++starts}`;
  const config = join(folder, `${name}.yml`);
  const passwords = join(folder, 'htpasswd');
  await mkdir(folder, { recursive: true });
  await writeFile(passwords, `${upstreamAccount.line}\n`);
  const settings = {
    version: 0.1,
    log: { level: 'info' },
    storage: {
      filesystem: { rootdirectory: join(folder, 'distribution') },
      ...(notify === undefined ? {} : { delete: { enabled: true } }),
    },
    http: { addr: `127.0.0.1:${port}`, secret: 'of these tests' },
    ...(basic ? { auth: { htpasswd: { realm: 'upstream', path: passwords } } } : {}),
    ...(notify === undefined ? {} : { notifications: { endpoints: [{ name: 'sink', url: notify }] } }),
  };
  // JSON is YAML too.
  await writeFile(config, JSON.stringify(settings));
  // Version 3 sends traces to a collector unless it is told not to.
  const env = { ...process.env, OTEL_TRACES_EXPORTER: 'none' };
  const logFile = join(folder, `${name}.log`);
  const daemon = startDaemon(findTool(program) ?? program, ['serve', config], { env, logFile });
  const address = await waitForDaemon(daemon, () => /listening on (127[0-9.]+:\d+)/.exec(daemon.output())?.[1]);
  return {
    origin: `http://${address}`,
    requests: () => readAccessLog(daemon.output()),
    stop: () => daemon.end(),
  };
}

/** Parses Apache's combined log: `127.0.0.1 - - [time] "GET /v2/… HTTP/1.1" 200 91 "" "agent"`. */
function readAccessLog(log: string): UpstreamRequest[] {
  return [...log.matchAll(/"([A-Z]+) (\/v2\/\S*) HTTP\/1\.1" (\d{3}) /g)].map(([, method = '', url = '', status]) => ({
    method,
    url,
    status: Number(status),
  }));
}

/** Starts our own registry as an upstream, with any repositories, including caches. */
export async function startOwnUpstream(
  folder: string,
  config?: Readonly<Record<string, unknown>>,
): Promise<Upstream & { readonly host: string }> {
  const server = await startRegistry(folder, { logLevel: 'info', ...(config === undefined ? {} : { config }) });
  return {
    origin: server.origin,
    host: server.host,
    requests: () => readOwnLog(server.output()),
    stop: () => server.stop(),
  };
}

function readOwnLog(log: string): UpstreamRequest[] {
  return log
    .split('\n')
    .filter((line) => line.startsWith('{') && line.includes('"msg":"request"'))
    .map((line) => JSON.parse(line) as UpstreamRequest);
}

/** Returns the sorted digests of the blobs that the upstream sent, once per transfer. Poll it: the log follows the answer. */
export function blobsSent(upstream: Upstream, image = ''): string[] {
  return upstream
    .requests()
    .filter(({ method, status }) => method === 'GET' && (status === 200 || status === 206))
    .flatMap(({ url }) => new RegExp(`${image}/blobs/(sha256:[0-9a-f]{64})`).exec(url)?.[1] ?? [])
    .toSorted();
}

/** Returns the value of `blobsSent` if each blob of the images was sent once. */
export function blobsOf(...images: readonly Image[]): string[] {
  const digests = images.flatMap(({ config, layers }) => [config, ...layers].map(({ digest }) => digest));
  return [...new Set(digests)].toSorted();
}
