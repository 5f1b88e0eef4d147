/**
 * Runs registries on an S3 server, with what else they need: nodes on PostgreSQL behind nginx, or distribution with Redis. All are
 * children of this process and stop with it. Their data stays in the folder.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.mjs';

/**
 * @typedef {object} NodesOptions
 * @property {string} program Our program, or that of distribution.
 * @property {string} versitygw The S3 server.
 * @property {string} folder For the data of all services.
 * @property {number} port The port of the only registry, or of nginx.
 * @property {number} nodes The number of our nodes; 0 for distribution.
 * @property {boolean} hashes Whether nginx sends all requests for a blob to one node.
 * @property {object[]} repositories
 * @property {boolean} accessLog Whether the registries log each request.
 */

const credentials = { accessKeyId: 'AKBENCH', secretAccessKey: 'SKBENCH' };
const bucket = 'registry';
const root = join(import.meta.dirname, '..');

/** @type {NodesOptions} */
const { program, versitygw, folder, port, nodes, hashes, repositories, accessLog } = JSON.parse(process.argv[2] ?? '');
const logLevel = accessLog ? 'info' : 'error';
/** @type {(() => Promise<unknown>)[]} */
const stops = [];
process.on('SIGTERM', () => void stopAll());

const s3Port = await startS3();
if (nodes === 0) await startDistribution();
else await startNodes();

async function stopAll() {
  // Nodes stop before what they use.
  for (const stop of stops.toReversed()) await stop();
}

/**
 * @param {string} file
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @param {NodeJS.Signals} [signal] Stops it.
 */
function start(file, args, options = {}, signal = 'SIGTERM') {
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
  const ended = new Promise((resolve) => child.on('exit', resolve).on('error', resolve));
  stops.push(() => (child.kill(signal), ended));
  child.on('error', (error) => process.stderr.write(`${file}: ${error.message}\n`));
}

/** @param {number} to */
async function accepts(to) {
  for (;;) {
    const socket = connect(to, '127.0.0.1');
    const isOpen = await new Promise((resolve) => {
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await sleep(20);
  }
}

async function startS3() {
  const free = await freePort();
  // A bucket is a folder.
  await mkdir(join(folder, 'objects', bucket), { recursive: true });
  const env = {
    ...process.env,
    ROOT_ACCESS_KEY: credentials.accessKeyId,
    ROOT_SECRET_KEY: credentials.secretAccessKey,
  };
  start(versitygw, ['--quiet', '--port', `127.0.0.1:${free}`, 'posix', join(folder, 'objects')], { env });
  await accepts(free);
  return free;
}

async function startNodes() {
  const database = await startPostgres();
  const s3 = { endpoint: `http://127.0.0.1:${s3Port}`, bucket, credentials, spool: join(folder, 'spool') };
  const storage = { metadata: { postgres: { url: database } }, blobs: { s3 } };
  const ports = nodes === 1 ? [port] : [];
  while (ports.length < nodes) ports.push(await freePort());
  for (const own of ports) {
    const config = join(folder, `config-${ports.indexOf(own)}.yml`);
    // JSON is YAML too.
    await writeFile(config, JSON.stringify({ storage, access: 'open', trustedProxies: ['127.0.0.1'], repositories }));
    const settings = ['--host', '127.0.0.1', '--port', String(own), '--log-level', logLevel, '--config', config];
    start(process.execPath, [program, 'serve', ...settings]);
    // The first one creates the tables.
    await accepts(own);
  }
  if (nodes > 1) await startNginx(ports);
}

async function startPostgres() {
  const data = join(folder, 'postgres');
  const free = await freePort();
  const programs = '/usr/lib/postgresql';
  const [release = ''] = readdirSync(programs).toSorted((a, b) => Number(b) - Number(a));
  const bin = join(programs, release, 'bin');
  // It refuses to run as root.
  const [, , uid, gid] = process.getuid?.() === 0 ? await userOfPostgres() : [];
  const owner = uid === undefined ? {} : { uid: Number(uid), gid: Number(gid) };
  const options = { ...owner, cwd: '/', env: { PATH: process.env['PATH'], LC_ALL: 'C' } };
  const isNew = !existsSync(data);
  if (isNew) {
    await mkdir(data);
    if (uid !== undefined) execFileSync('chown', [`${uid}:${gid}`, data]);
    execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'app', '-A', 'trust', '-E', 'UTF8', '--locale=C'], options);
  }
  const flags = { listen_addresses: '127.0.0.1', port: free, unix_socket_directories: '' };
  const settings = Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  start(join(bin, 'postgres'), ['-D', data, ...settings], { ...options, stdio: 'ignore' }, 'SIGINT');
  await accepts(free);
  const reach = ['-h', '127.0.0.1', '-p', String(free), '-U', 'app'];
  while (!succeeds(join(bin, 'pg_isready'), reach)) await sleep(50);
  if (isNew) execFileSync(join(bin, 'createdb'), [...reach, 'app'], options);
  return `postgresql://app@127.0.0.1:${free}/app`;
}

async function userOfPostgres() {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  return users.find(([name]) => name === 'postgres') ?? [];
}

/**
 * @param {string} file
 * @param {string[]} args
 */
function succeeds(file, args) {
  try {
    execFileSync(file, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts nginx with the configuration of the example.
 * @param {number[]} ports
 */
async function startNginx(ports) {
  const adapters = join(root, 'adapters/nginx');
  const upstreams = ports.reduce(
    (text, own, index) => text.replace(`node${index + 1}:5000`, `127.0.0.1:${own}`),
    await readFile(join(adapters, 'scale-out.conf'), 'utf8'),
  );
  const scaleOut = join(folder, 'scale-out.conf');
  await writeFile(scaleOut, hashes ? upstreams : upstreams.replace(/^ *hash .*$/m, ''));
  const example = await readFile(join(root, 'examples/scale-out/nginx.conf'), 'utf8');
  const config = join(folder, 'nginx.conf');
  const text = example
    .replace('listen 8080;', `listen 127.0.0.1:${port};`)
    .replace('/etc/nginx/artifactapi/scale-out.conf', scaleOut)
    .replace('/etc/nginx/artifactapi/artifactapi.conf', join(adapters, 'artifactapi.conf'))
    .replaceAll('/tmp/nginx', join(folder, 'nginx'));
  // Only root can read the temporary folder.
  await writeFile(config, process.getuid?.() === 0 ? `user root;\n${text}` : text);
  start('nginx', ['-e', 'stderr', '-p', folder, '-c', config]);
}

async function startDistribution() {
  const redis = await freePort();
  start('redis-server', ['--bind', '127.0.0.1', '--port', String(redis), '--save', '', '--dir', folder], {
    stdio: 'ignore',
  });
  await accepts(redis);
  const config = join(folder, 'config.yml');
  const s3 = {
    accesskey: credentials.accessKeyId,
    secretkey: credentials.secretAccessKey,
    region: 'us-east-1',
    regionendpoint: `http://127.0.0.1:${s3Port}`,
    forcepathstyle: true,
    secure: false,
    bucket,
  };
  const settings = {
    version: 0.1,
    log: { accesslog: { disabled: !accessLog }, level: logLevel },
    storage: { s3, redirect: { disable: true }, cache: { blobdescriptor: 'redis' }, delete: { enabled: true } },
    redis: { addrs: [`127.0.0.1:${redis}`] },
    http: { addr: `127.0.0.1:${port}` },
  };
  await writeFile(config, JSON.stringify(settings));
  start(program, ['serve', config], { env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' } });
}
