import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.mjs';

/**
 * A server to measure.
 * @typedef {object} Peer
 * @property {string} id
 * @property {string} title With its version.
 * @property {string} prefix The prefix of the names of repositories.
 * @property {(folder: string, setting?: Setting) => Promise<import('./server-process.mjs').Command>} command Returns the command
 *   that serves the content of the folder or of an upstream.
 */

/**
 * @typedef {object} Setting
 * @property {number | undefined} [upstreamPort]
 * @property {boolean} [accessLog] Whether a registry logs each request, in the way that is its default.
 */

/**
 * @param {string} program
 * @param {string} version
 * @returns {Peer}
 */
export function ours(program, version) {
  return {
    id: 'ours',
    title: `artifactapi ${version}`,
    prefix: 'local/',
    command: async (folder, { accessLog = false } = {}) => ({
      program: process.execPath,
      args: [program, 'serve', ...flags(accessLog), '--data', join(folder, 'data')],
    }),
  };
}

/**
 * Our program again, as the peer that receives the same bytes by POST and PUT.
 * @param {string} program
 * @param {string} version
 * @returns {Peer}
 */
export function postPut(program, version) {
  return { ...ours(program, version), id: 'post-put', title: 'the same layers by POST and PUT' };
}

/**
 * Our program with one remote repository, with or without a cache.
 * @param {string} program
 * @param {string} version
 * @param {boolean} cache
 * @returns {Peer}
 */
export function oursBefore(program, version, cache) {
  return {
    ...ours(program, version),
    prefix: 'hub/',
    command: async (folder, { upstreamPort, accessLog = false } = {}) => {
      const config = join(folder, 'config.yml');
      await mkdir(folder, { recursive: true });
      // JSON is YAML too.
      await writeFile(config, JSON.stringify({ repositories: [{ ...remote(upstreamPort), cache }] }));
      const args = [program, 'serve', ...flags(accessLog), '--data', join(folder, 'data'), '--config', config];
      return { program: process.execPath, args };
    },
  };
}

/**
 * Our program behind nginx, which sends blobs itself or proxies all bytes.
 * @param {string} program
 * @param {string} version
 * @param {boolean} offloads
 * @returns {Peer}
 */
export function oursBehindNginx(program, version, offloads) {
  return {
    ...ours(program, version),
    id: offloads ? 'ours' : 'proxied',
    title: `artifactapi ${version} behind nginx, ${offloads ? 'which sends blobs' : 'which proxies all bytes'}`,
    command: async (folder, { accessLog = false } = {}) => {
      const port = await freePort();
      const sidecar = [
        join(import.meta.dirname, 'sidecar.mjs'),
        program,
        folder,
        String(await freePort()),
        String(port),
        logLevel(accessLog),
      ];
      const args = [...sidecar, ...(offloads ? ['x-accel'] : [])];
      return { program: process.execPath, args, hasChildren: true, port };
    },
  };
}

/**
 * What runs on an S3 server: nodes with PostgreSQL, behind nginx if there are several, or distribution with Redis.
 * @param {Omit<Peer, 'command'>} peer
 * @param {{ program: string, versitygw: string, nodes: number, hashes?: boolean }} options
 * @returns {Peer}
 */
export function onS3(peer, options) {
  return {
    ...peer,
    command: async (folder, { upstreamPort, accessLog = false } = {}) => {
      const port = await freePort();
      const repositories = upstreamPort === undefined ? [{ name: 'local', type: 'local' }] : [remote(upstreamPort)];
      await mkdir(folder, { recursive: true });
      const all = { hashes: true, ...options, folder, port, repositories, accessLog };
      const args = [join(import.meta.dirname, 'nodes.mjs'), JSON.stringify(all)];
      return { program: process.execPath, args, hasChildren: true, port };
    },
  };
}

/**
 * CNCF distribution, whose settings are the same in versions 2 and 3. With an upstream, it is a pull-through cache.
 * @param {string} id
 * @param {string} program
 * @param {string} version
 * @returns {Peer}
 */
export function distribution(id, program, version) {
  return {
    id,
    title: `distribution ${version}`,
    prefix: '',
    command: async (folder, { upstreamPort, accessLog = false } = {}) => {
      const port = await freePort();
      const config = join(folder, 'config.yml');
      const proxy = upstreamPort === undefined ? '' : `proxy:\n  remoteurl: ${upstreamUrl(upstreamPort)}\n`;
      await mkdir(folder, { recursive: true });
      await writeFile(config, distributionConfig(join(folder, 'data'), port, accessLog) + proxy);
      return { program, args: ['serve', config], environment: { OTEL_TRACES_EXPORTER: 'none' }, port };
    },
  };
}

/**
 * zot without extensions, which syncs what it acknowledges.
 * @param {string} program
 * @param {string} version
 * @returns {Peer}
 */
export function zot(program, version) {
  return {
    id: 'zot',
    title: `zot ${version}`.trim(),
    prefix: '',
    command: async (folder, { accessLog = false } = {}) => {
      const port = await freePort();
      const config = join(folder, 'config.json');
      const settings = {
        storage: { rootDirectory: join(folder, 'data'), commit: true, gc: false },
        http: { address: '127.0.0.1', port: String(port) },
        log: { level: logLevel(accessLog) },
      };
      await mkdir(folder, { recursive: true });
      await writeFile(config, JSON.stringify(settings));
      return { program, args: ['serve', config], port };
    },
  };
}

/**
 * Plain http-proxy.
 * @param {string} version
 * @returns {Peer}
 */
export function bareProxy(version) {
  return {
    id: 'http-proxy',
    title: `http-proxy ${version}`,
    prefix: '',
    command: async (_folder, { upstreamPort } = {}) => ({
      program: process.execPath,
      args: [join(import.meta.dirname, 'bare-proxy.mjs'), upstreamUrl(upstreamPort)],
    }),
  };
}

/**
 * The upstream of pass-through measures.
 * @returns {Peer}
 */
export function staticUpstream() {
  return {
    id: 'static',
    title: 'one manifest of 1 KB',
    prefix: '',
    command: async () => ({
      program: process.execPath,
      args: [join(import.meta.dirname, 'static-upstream.mjs')],
    }),
  };
}

/** @param {boolean} accessLog */
function flags(accessLog) {
  return ['--host', '127.0.0.1', '--port', '0', '--log-level', logLevel(accessLog)];
}

/**
 * Returns the level at which a registry logs each request, or only errors. They have the same name in all of them.
 * @param {boolean} accessLog
 */
function logLevel(accessLog) {
  return accessLog ? 'info' : 'error';
}

/** @param {number | undefined} upstreamPort */
function remote(upstreamPort) {
  // Tags must stay fresh for all rounds, and the default TTL is 5 minutes.
  return { name: 'hub', type: 'remote', url: upstreamUrl(upstreamPort), tagTtlSeconds: 86_400 };
}

/** @param {number | undefined} port */
function upstreamUrl(port) {
  if (port === undefined) throw new Error('this server needs an upstream');
  return `http://127.0.0.1:${port}`;
}

/**
 * Configures distribution for speed: descriptors cached in memory.
 * @param {string} folder
 * @param {number} port
 * @param {boolean} accessLog
 */
function distributionConfig(folder, port, accessLog) {
  return `version: 0.1
log:
  accesslog:
    disabled: ${!accessLog}
  level: ${logLevel(accessLog)}
storage:
  filesystem:
    rootdirectory: ${JSON.stringify(folder)}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: 127.0.0.1:${port}
`;
}
