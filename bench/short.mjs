/**
 * The short form of the benchmark, for CI: compares the CPU time per request with that of a bare server that sends the same answer.
 * Bursts alternate between the two, so that neither the machine nor its other load matters much. Exits with 1 when a ratio is below
 * 0.6 of the committed one.
 *
 *   node bench/short.mjs
 */
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeWithUs } from './cleanup.mjs';
import { expect } from './client.mjs';
import { bareProxy, ours, oursBefore, staticUpstream } from './peers.mjs';
import { ServerProcess } from './server-process.mjs';
import { staticManifest } from './static-upstream.mjs';
import { medianRatio } from './statistics.mjs';

/** @typedef {{ server: ServerProcess, path: string }} Target */

const rounds = 9;
const requestsPerBurst = 600;
const requestsToWarmUp = 4000;
const connections = 16;
const tolerance = 0.6;

await run();

async function run() {
  const ratios = await measure();
  const committed = JSON.parse(await readFile(join(import.meta.dirname, 'ratios.json'), 'utf8'));
  process.stdout.write(`Node ${process.version}: the CPU time of a bare server, divided by ours\n`);
  for (const [name, ratio] of Object.entries(ratios)) {
    const least = committed[name] * tolerance;
    const isGood = ratio >= least;
    if (!isGood) process.exitCode = 1;
    const bounds = `committed ${committed[name]}, at least ${least.toFixed(2)}`;
    process.stdout.write(`  ${name}: ${ratio.toFixed(2)} (${bounds}) ${isGood ? 'ok' : 'FAILED'}\n`);
  }
}

async function measure() {
  const folder = await mkdtemp(join(tmpdir(), 'artifactapi-short-'));
  removeWithUs(folder);
  const program = join(import.meta.dirname, '..', 'dist', 'command', 'cli.js');
  /** @param {import('./peers.mjs').Peer} peer @param {string} name @param {import('./peers.mjs').Setting} [setting] */
  const start = async (peer, name, setting) =>
    ServerProcess.start(await peer.command(join(folder, name), setting), folder);
  const upstream = await start(staticUpstream(), 'upstream');
  const upstreamPort = upstream.port;
  const registry = await start(ours(program, ''), 'registry');
  const logging = await start(ours(program, ''), 'logging', { accessLog: true });
  const remote = await start(oursBefore(program, '', false), 'remote', { upstreamPort });
  const proxy = await start(bareProxy(''), 'proxy', { upstreamPort });
  const path = `/v2/${staticManifest}`;
  const local = path.replace('/v2/', '/v2/local/');
  for (const { port } of [registry, logging]) await pushManifest(port, local, upstreamPort, path);
  const ratios = {
    'manifest-tag': await compare({ server: registry, path: local }, { server: upstream, path }),
    'manifest-tag-logged': await compare({ server: logging, path: local }, { server: upstream, path }),
    'passthrough-small': await compare(
      { server: remote, path: path.replace('/v2/', '/v2/hub/') },
      { server: proxy, path },
    ),
  };
  for (const server of [registry, logging, remote, proxy, upstream]) await server.stop();
  return ratios;
}

/**
 * Copies the manifest of the upstream, and its empty config.
 * @param {number} port @param {string} target @param {number} from @param {string} source
 */
async function pushManifest(port, target, from, source) {
  const { body, headers } = await expect(200, from, 'GET', source);
  const { digest } = JSON.parse(Buffer.from(body).toString()).config;
  const uploads = target.replace(/manifests\/.*$/, `blobs/uploads/?digest=${digest}`);
  await expect(201, port, 'POST', uploads, { body: '{}', headers: { 'Content-Type': 'application/octet-stream' } });
  await expect(201, port, 'PUT', target, { body, headers: { 'Content-Type': headers['content-type'] ?? '' } });
}

/**
 * Returns the CPU time that a request takes on the other server, divided by that on ours.
 * @param {Target} mine @param {Target} other
 */
async function compare(mine, other) {
  for (const target of [mine, other]) await burst(target, requestsToWarmUp);
  /** @type {number[]} */
  const ours = [];
  /** @type {number[]} */
  const theirs = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(await timed(mine));
    theirs.push(await timed(other));
  }
  return medianRatio(theirs, ours) ?? 0;
}

/** @param {Target} target */
async function timed(target) {
  const before = await cpuTime(target.server.pid);
  await burst(target, requestsPerBurst);
  return (await cpuTime(target.server.pid)) - before;
}

/** @param {Target} target @param {number} requests */
async function burst({ server, path }, requests) {
  let left = requests;
  const client = async () => {
    while (left-- > 0) await expect(200, server.port, 'GET', path);
  };
  await Promise.all(Array.from({ length: connections }, client));
}

/**
 * Returns the CPU time of all threads, in nanoseconds: a burst is too short for the ticks of /proc/PID/stat.
 * @param {number} pid
 */
async function cpuTime(pid) {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(threads.map((id) => readFile(`/proc/${pid}/task/${id}/schedstat`, 'utf8')));
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0);
}
