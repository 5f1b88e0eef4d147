import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createBucket } from '../../test/s3/support/bucket.js';
import { credentials } from '../../test/s3/support/s3-server.js';
import { startS3Server } from '../../test/s3/support/start-s3-server.js';
import { freePort } from '../../test/support/servers/free-port.js';
import { startPostgres, type PostgresServer } from '../../test/support/servers/postgres-server.js';
import { findTool, projectRoot } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';
import { http } from './registry-http.js';
import { startRegistry, type RegistryServer } from './registry-server.js';
import type { Workspace } from './test-bed.js';

/** Nodes that share a database and a bucket, behind nginx. */
export interface ScaledOut {
  /** `http://127.0.0.1:PORT` of nginx. */
  readonly origin: string;
  /** `127.0.0.1:PORT` of nginx. */
  readonly host: string;
  readonly nodes: readonly Node[];
  /** Returns what all nodes have printed since their last start. */
  output(): string;
  readonly database: PostgresServer;
}

/** A node at an address that stays the same over restarts. */
export interface Node {
  readonly origin: string;
  output(): string;
  /** Kills it with SIGKILL. */
  kill(): Promise<void>;
  /** Stops it with SIGTERM. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** What differs from the configuration of the example. */
export interface ScaledOutOptions {
  /** Settings of the config file. Without `access`, the nodes are open to everyone. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Returns options of the bucket. @param server the address of the S3 server */
  readonly s3?: (server: URL) => Promise<object>;
}

const repositories = [
  { name: 'local', type: 'local', trashSeconds: 0 },
  // For the conformance suite, which pushes manifests without their blobs.
  { name: 'sparse', type: 'local', sparse: true },
];
const nodeNames = ['node1', 'node2', 'node3'];

/** Starts PostgreSQL, an S3 server, three nodes and nginx with the configuration of the example. The workspace stops them. */
export async function startScaledOut(bed: Workspace, options: ScaledOutOptions = {}): Promise<ScaledOut> {
  const { settings = {}, s3 } = options;
  const database = await startPostgres({ fsync: 'on', autovacuum: 'on' });
  bed.onClose(() => database.stop());
  const store = await startS3Server();
  bed.onClose(() => store.stop());
  const { endpoint, bucket } = await createBucket(store.endpoint);
  const more = await s3?.(endpoint);
  const config = {
    storage: {
      metadata: { postgres: { url: database.url('app') } },
      blobs: {
        s3: {
          endpoint: endpoint.href,
          bucket,
          credentials,
          trashSeconds: 60,
          spool: join(bed.folder, 'spool'),
          ...more,
        },
      },
    },
    trustedProxies: ['127.0.0.1'],
    repositories,
    garbageCollection: { intervalSeconds: 2, graceSeconds: 45 },
    ...settings,
  };
  const nodes: Node[] = [];
  for (const name of nodeNames) nodes.push(await startNode(join(bed.folder, name), config, bed));
  const output = (): string => nodes.map((node) => node.output()).join('');
  return { ...(await startBalancer(bed, nodes)), nodes, output, database };
}

async function startNode(folder: string, config: Readonly<Record<string, unknown>>, bed: Workspace): Promise<Node> {
  const port = await freePort();
  const flags = 'access' in config ? [] : ['--open'];
  let server: RegistryServer | undefined;
  const start = async (): Promise<void> => {
    server = await startRegistry(folder, { config: { ...config }, port, data: false, flags });
  };
  await start();
  bed.onClose(async () => server?.kill());
  return {
    origin: `http://127.0.0.1:${port}`,
    output: () => server?.output() ?? '',
    kill: async () => server?.kill(),
    stop: async () => server?.stop(),
    start,
  };
}

async function startBalancer(bed: Workspace, nodes: readonly Node[]): Promise<Pick<ScaledOut, 'origin' | 'host'>> {
  const folder = join(bed.folder, 'nginx');
  await mkdir(folder);
  const port = await freePort();
  const adapters = join(projectRoot, 'adapters/nginx');
  const scaleOut = nodes.reduce(
    (text, { origin }, i) => replace(text, `${nodeNames[i]}:5000`, new URL(origin).host),
    await readFile(join(adapters, 'scale-out.conf'), 'utf8'),
  );
  await writeFile(join(folder, 'scale-out.conf'), scaleOut);
  let text = await readFile(join(projectRoot, 'examples/scale-out/nginx.conf'), 'utf8');
  text = replace(text, 'listen 8080;', `listen 127.0.0.1:${port};`);
  text = replace(text, '/etc/nginx/artifactapi/scale-out.conf', join(folder, 'scale-out.conf'));
  text = replace(text, '/etc/nginx/artifactapi/artifactapi.conf', join(adapters, 'artifactapi.conf'));
  text = text.replaceAll('/tmp/nginx', join(folder, 'nginx'));
  const file = join(folder, 'nginx.conf');
  // As the user of the tests, who owns the folder.
  await writeFile(file, process.getuid?.() === 0 ? `user root;\n${text}` : text);
  const daemon = startDaemon(findTool('nginx') ?? 'nginx', ['-e', 'stderr', '-p', folder, '-c', file], {
    logFile: join(folder, 'log'),
  });
  bed.onClose(() => daemon.end('SIGTERM'));
  const host = `127.0.0.1:${port}`;
  await waitForDaemon(daemon, async () => {
    const answer = await http(`http://${host}/v2/`).catch(() => undefined);
    return answer?.status === 200 || answer?.status === 401 ? true : undefined;
  });
  return { origin: `http://${host}`, host };
}

function replace(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`the configuration of nginx has no ${from}`);
  return text.replace(from, () => to);
}
