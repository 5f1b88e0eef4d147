/** Defines which servers are compared, and in front of which upstream. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bareProxy, onS3, ours, oursBefore, oursBehindNginx, postPut, staticUpstream } from './peers.mjs';
import { findDebian, findPeers, findZot, newerProgram } from './tools.mjs';

/**
 * `registry`: content of the servers; `cache`: content of an upstream; `passthrough`: requests that are passed on to an
 * upstream; `archives`: imports; `sidecar`: ours behind nginx, which sends blobs itself or proxies their bytes; `nodes`: content of
 * nodes on PostgreSQL and S3; `nodes-cache`: content of an upstream of such nodes.
 * @typedef {'registry' | 'cache' | 'passthrough' | 'archives' | 'sidecar' | 'nodes' | 'nodes-cache'} Mode
 */

/**
 * @typedef {object} LineUp
 * @property {import('./peers.mjs').Peer[]} servers Ours first.
 * @property {import('./peers.mjs').Peer} [upstream]
 */

/** @typedef {Record<Mode, LineUp>} LineUps */

/**
 * @param {string} root
 * @param {string} tools The folder for built programs.
 * @param {string} program Our program.
 * @param {{ before: string | undefined, without: string[] }} options An earlier build to compare with, and peers to skip.
 * @returns {Promise<LineUps>}
 */
export async function makeLineUps(root, tools, program, { before, without }) {
  const version = await versionIn(root);
  const zot = await findZot(without);
  const peers = await findPeers(tools, without);
  const registry = peers.find(({ id }) => id === 'debian') ?? (await findDebian()) ?? ours(program, version);
  const earlier = before === undefined ? undefined : resolve(before);
  const proxy = bareProxy(await versionIn(join(root, 'node_modules', 'http-proxy')));
  return {
    registry: {
      servers: [
        ours(program, version),
        ...beside(earlier, (path) => ours(path, 'before')),
        ...peers,
        // Its cache is an extension with a configuration of its own.
        ...(zot === undefined ? [] : [zot]),
      ],
    },
    cache: {
      servers: [
        oursBefore(program, version, true),
        ...beside(earlier, (path) => oursBefore(path, 'before', true)),
        ...peers,
      ],
      upstream: registry,
    },
    archives: { servers: [ours(program, version), postPut(program, version)] },
    passthrough: { servers: [oursBefore(program, version, false), proxy], upstream: staticUpstream() },
    ...nodesOf(program, version, {
      versitygw: join(root, '.e2e-tools/usr/bin/versitygw'),
      newer: peers.some(({ id }) => id === 'distribution3') ? newerProgram(tools) : undefined,
      upstream: registry,
    }),
    sidecar: { servers: [oursBehindNginx(program, version, true), oursBehindNginx(program, version, false)] },
  };
}

/**
 * @param {string} program
 * @param {string} version
 * @param {{ versitygw: string, newer: string | undefined, upstream: import('./peers.mjs').Peer }} others `newer`: distribution.
 * @returns {Pick<LineUps, 'nodes' | 'nodes-cache'>}
 */
function nodesOf(program, version, { versitygw, newer, upstream }) {
  const titled = (/** @type {string} */ id, /** @type {string} */ title, prefix = 'local/') => ({ id, title, prefix });
  const own = { program, versitygw };
  const three = 'three nodes behind nginx';
  return {
    nodes: {
      servers: [
        onS3(titled('ours', `artifactapi ${version} on PostgreSQL and S3`), { ...own, nodes: 1 }),
        onS3(titled('three-nodes', three), { ...own, nodes: 3 }),
        { ...ours(program, version), ...titled('one-folder', 'with a data folder') },
        ...(newer === undefined
          ? []
          : [
              onS3(titled('distribution-s3', 'distribution on S3 and Redis', ''), {
                program: newer,
                versitygw,
                nodes: 0,
              }),
            ]),
      ],
    },
    'nodes-cache': {
      servers: [
        onS3(titled('ours', `${three}, by digest`, 'hub/'), { ...own, nodes: 3 }),
        onS3(titled('spread', `${three}, in turn`, 'hub/'), { ...own, nodes: 3, hashes: false }),
      ],
      upstream,
    },
  };
}

/**
 * @param {string | undefined} earlier An earlier build of our program.
 * @param {(program: string) => import('./peers.mjs').Peer} asPeer
 */
function beside(earlier, asPeer) {
  return earlier === undefined ? [] : [{ ...asPeer(earlier), id: 'before' }];
}

/** @param {string} folder */
async function versionIn(folder) {
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  return String(version);
}
