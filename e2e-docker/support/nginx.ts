import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../test/support/servers/free-port.js';
import { findTool, projectRoot } from './commands.js';
import { acceptsConnections, startDaemon, waitForDaemon } from './daemon.js';
import type { RegistryServer } from './registry-server.js';
import type { Workspace } from './test-bed.js';

/** A line of nginx's access log. */
export interface NginxRequest {
  readonly method: string;
  /** The path as the client sent it. */
  readonly url: string;
  readonly status: number;
  /** Bytes of the body that the client got. */
  readonly sent: number;
  /** Bytes of the body that the registry sent to nginx. */
  readonly fromRegistry: number;
  /** The path in the registry's X-Accel-Redirect; `-` if the registry sent the bytes itself. */
  readonly accel: string;
}

export interface Nginx {
  /** `https://127.0.0.1:PORT` */
  readonly origin: string;
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** The self-signed certificate in PEM. */
  readonly ca: string;
  /** Returns the log of all answers. */
  requests(): Promise<readonly NginxRequest[]>;
  stop(): Promise<void>;
}

const example = join(projectRoot, 'examples/nginx-sidecar');
const log = `'{"method":"$request_method","url":"$request_uri","status":$status,"sent":$body_bytes_sent,"fromRegistry":"$upstream_response_length","accel":"$upstream_http_x_accel_redirect"}'`;

/**
 * Starts Debian's nginx with the configuration of the example, except for ports, paths and the log format. Its workers are not
 * root, even if the tests are. The registry keeps its data in the workspace, as with `startRegistry`.
 * @param registry its host and port, or `unix:` and the path of its socket.
 */
export async function startNginx(bed: Workspace, registry: Pick<RegistryServer, 'host'>): Promise<Nginx> {
  const folder = join(bed.folder, 'nginx');
  await mkdir(join(folder, 'run'), { recursive: true });
  // Workers, which run as another user, may pass through this folder but not list it.
  await chmod(bed.folder, 0o711);
  const tls = join(projectRoot, 'test/support/tls');
  await copyFile(join(tls, 'test-only-certificate.pem'), join(folder, 'run/registry.pem'));
  await copyFile(join(tls, 'test-only-key.pem'), join(folder, 'run/registry.key'));
  const port = await freePort();
  const replacements: readonly (readonly [string, string])[] = [
    ['127.0.0.1:5000;', `${registry.host};`],
    ['listen 8443 ssl;', `listen 127.0.0.1:${port} ssl;`],
    ['access_log run/access.log;', `log_format tests ${log}; access_log run/access.log tests;`],
    ['data/blobs;', `${bed.folder}/data/blobs;`],
    ['../../adapters/', `${projectRoot}/adapters/`],
    ['root www;', `root ${example}/www;`],
  ];
  let text = await readFile(join(example, 'nginx.conf'), 'utf8');
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`the example's nginx.conf has no ${from}`);
    text = text.replace(from, () => to);
  }
  const file = join(folder, 'nginx.conf');
  await writeFile(file, text);
  const origin = `https://127.0.0.1:${port}`;
  const daemon = startDaemon(findTool('nginx') ?? 'nginx', ['-e', 'stderr', '-p', folder, '-c', file], {
    logFile: join(folder, 'log'),
  });
  await waitForDaemon(daemon, () => acceptsConnections(port));
  return {
    origin,
    host: `127.0.0.1:${port}`,
    ca: await readFile(join(tls, 'test-only-certificate.pem'), 'utf8'),
    requests: async () => parseLog(await readFile(join(folder, 'run/access.log'), 'utf8')),
    stop: () => daemon.end('SIGTERM'),
  };
}

function parseLog(text: string): NginxRequest[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const { fromRegistry, ...request } = JSON.parse(line) as NginxRequest & { fromRegistry: string };
    return { ...request, fromRegistry: fromRegistry === '-' ? 0 : Number(fromRegistry) };
  });
}
