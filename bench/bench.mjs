/** Takes the measures. In each round of a measure the servers take turns, and only one runs at a time. */
import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fillCaches, fillRegistries, fillUpstream } from './fill.mjs';
import { ServerProcess } from './server-process.mjs';
import { makeSource } from './sources.mjs';
import { removeFolder } from './workspace.mjs';

/**
 * The samples of a measure: by the id of the server, one per round.
 * @typedef {object} Result
 * @property {import('./measures.mjs').Measure} measure
 * @property {Record<string, import('./samples.mjs').Sample[]>} samples
 * @property {Record<string, string>} failures By the id of a server, why it has no samples.
 */

/**
 * @typedef {object} Bench
 * @property {import('./options.mjs').Options} options
 * @property {string} drain
 * @property {string} workspace
 * @property {import('./line-ups.mjs').LineUps} lineUps
 * @property {import('./measures.mjs').Measure[]} measures
 * @property {(line: string) => void} say
 */

/**
 * The files to send.
 * @typedef {object} Sources
 * @property {import('./sources.mjs').Source[]} large
 * @property {import('./sources.mjs').Source} warm
 */

/**
 * The parts that all measures of one mode share.
 * @typedef {object} Stage
 * @property {Bench} bench
 * @property {import('./measures.mjs').Measure[]} measures
 * @property {import('./peers.mjs').Peer[]} servers Ours first.
 * @property {string} folder The data folder of the servers.
 * @property {Sources} sources
 * @property {ServerProcess} [upstream]
 */

const warmBytes = 32 * 1024 ** 2;
/** How often a cache may store one blob that eight clients request. */
const copiesOfMiss = 8;

/**
 * Returns the maximum disk space in bytes: the files to send, the library of each server and of the upstream, and all writes.
 * @param {Pick<Bench, 'measures' | 'lineUps' | 'options'>} bench
 */
export function bytesNeeded({ measures, lineUps, options }) {
  const needed = modesOf(measures).map((mode) => {
    const own = measures.filter((measure) => measure.mode === mode);
    const { servers, upstream } = lineUps[mode];
    const sources = Math.max(...own.map(({ sources }) => sources));
    const libraries = own.some(({ needs }) => needs.includes('blob')) ? servers.length + (upstream ? 1 : 0) : 0;
    const copies = isCache(mode) ? copiesOfMiss : 1;
    const written = Math.max(...own.map(({ writes, sources }) => (writes ? sources * copies : 0)));
    return (sources + libraries + written) * sizeOf(mode, options);
  });
  return Math.max(0, ...needed);
}

/**
 * Takes all measures, mode by mode. The data of one mode is removed before the next begins.
 * @param {Bench} bench
 * @returns {Promise<Result[]>}
 */
export async function takeMeasures(bench) {
  const results = [];
  for (const mode of modesOf(bench.measures)) results.push(...(await takeMode(bench, mode)));
  return results;
}

/**
 * @param {Bench} bench
 * @param {import('./line-ups.mjs').Mode} mode
 */
async function takeMode(bench, mode) {
  const measures = bench.measures.filter((measure) => measure.mode === mode);
  const { servers, upstream: upstreamPeer } = bench.lineUps[mode];
  const folder = join(bench.workspace, mode);
  await mkdir(folder);
  const sources = await makeSources(bench, folder, measures, sizeOf(mode, bench.options));
  const upstream =
    upstreamPeer && (await ServerProcess.start(await upstreamPeer.command(join(folder, 'upstream')), folder));
  /** @type {Stage} */
  const stage = { bench, measures, servers, folder, sources, ...(upstream === undefined ? {} : { upstream }) };
  try {
    if (mode === 'registry' || mode === 'sidecar' || mode === 'nodes') await fillRegistries(stage);
    if (isCache(mode)) {
      await fillUpstream(stage, upstreamPeer?.prefix ?? '');
      await fillCaches(stage);
    }
    const results = [];
    for (const measure of measures) results.push(await takeMeasure(stage, measure));
    return results;
  } finally {
    await upstream?.stop();
    await removeFolder(folder);
  }
}

/**
 * @param {Bench} bench
 * @param {string} folder
 * @param {import('./measures.mjs').Measure[]} measures
 * @param {number} size
 * @returns {Promise<Sources>}
 */
async function makeSources({ say }, folder, measures, size) {
  const count = Math.max(...measures.map(({ sources }) => sources));
  if (count > 0) say(`writing ${count} x ${size / 1024 ** 2} MiB to send`);
  const large = [];
  for (let i = 0; i < count; i++) large.push(await makeSource(folder, `source-${i}`, size));
  return { large, warm: await makeSource(folder, 'source-warm', warmBytes) };
}

/**
 * @param {Stage} stage
 * @param {import('./measures.mjs').Measure} measure
 * @returns {Promise<Result>}
 */
async function takeMeasure(stage, measure) {
  const { options, measures, say } = stage.bench;
  const progress = `${measures.indexOf(measure) + 1}/${measures.length} ${measure.name}`;
  /** @type {Result} */
  const result = { measure, samples: {}, failures: {} };
  for (let round = 1; round <= options.rounds; round++) {
    for (const peer of stage.servers) {
      if (result.failures[peer.id] !== undefined) continue;
      try {
        const sample = await takeSample(stage, measure, peer);
        (result.samples[peer.id] ??= []).push(sample);
        say(`${progress}, round ${round}/${options.rounds}, ${peer.id}: ${sample.value.toFixed(2)} ${measure.unit}`);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        result.failures[peer.id] = reason;
        delete result.samples[peer.id];
        say(`${progress}, ${peer.id}: FAILED: ${reason}`);
      }
    }
  }
  return result;
}

/**
 * Takes a sample from a new process, so that no measure inherits memory or caches.
 * @param {Stage} stage
 * @param {import('./measures.mjs').Measure} measure
 * @param {import('./peers.mjs').Peer} peer
 */
async function takeSample({ bench: { drain, options }, folder, sources, upstream }, measure, peer) {
  const home = join(folder, measure.writes ? `${peer.id}-fresh` : peer.id);
  const setting = { upstreamPort: upstream?.port, accessLog: options.accessLog };
  const server = await ServerProcess.start(await peer.command(home, setting), folder);
  try {
    return await measure.run({
      id: peer.id,
      drain,
      server,
      upstream,
      workspace: folder,
      prefix: peer.prefix,
      sources: sources.large,
      warmSource: sources.warm,
      options,
    });
  } finally {
    await server.stop();
    if (measure.writes) {
      await removeFolder(home);
      // Pending writes of this server must not slow the next one down.
      execFileSync('sync');
    }
  }
}

/** @param {import('./measures.mjs').Measure[]} measures */
function modesOf(measures) {
  return [...new Set(measures.map(({ mode }) => mode))];
}

/**
 * @param {import('./line-ups.mjs').Mode} mode
 * @param {import('./options.mjs').Options} options
 */
function sizeOf(mode, { blobBytes, cacheBytes }) {
  return isCache(mode) ? cacheBytes : blobBytes;
}

/** @param {import('./line-ups.mjs').Mode} mode */
function isCache(mode) {
  return mode === 'cache' || mode === 'nodes-cache';
}
