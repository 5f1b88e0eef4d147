/** Takes the measures: in each round of each, the servers one after the other, and one alone at a time. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fillLibrary } from './library.mjs';
import { ServerProcess } from './server-process.mjs';
import { makeSource } from './sources.mjs';
import { removeFolder } from './workspace.mjs';

/**
 * The samples of a measure, by the server's id; one for each round.
 * @typedef {object} Result
 * @property {import('./measures.mjs').Measure} measure
 * @property {Record<string, import('./measures.mjs').Sample[]>} samples
 * @property {Record<string, string>} failures Why a server has no samples.
 */

/**
 * @typedef {object} Bench
 * @property {import('./options.mjs').Options} options
 * @property {string} drain
 * @property {string} workspace
 * @property {import('./peers.mjs').Peer[]} servers Ours first.
 * @property {import('./measures.mjs').Measure[]} measures
 * @property {(line: string) => void} say
 */

/**
 * The files that are sent.
 * @typedef {object} Sources
 * @property {import('./sources.mjs').Source[]} large
 * @property {import('./sources.mjs').Source} warm
 */

const warmBytes = 32 * 1024 ** 2;

/**
 * How much will be on the disk at most: the files to send, each server's library, and what is being pushed.
 * @param {number} servers
 * @param {import('./measures.mjs').Measure[]} measures
 * @param {import('./options.mjs').Options} options
 */
export function bytesNeeded(servers, measures, { blobBytes }) {
  const sources = Math.max(0, ...measures.map(({ sources }) => sources));
  const libraries = measures.some(({ needs }) => needs.includes('blob')) ? servers : 0;
  const pushed = Math.max(0, ...measures.map(({ writes, sources }) => (writes ? sources : 0)));
  return (sources + libraries + pushed) * blobBytes;
}

/**
 * @param {Bench} bench
 * @returns {Promise<Result[]>}
 */
export async function takeMeasures(bench) {
  const { measures, workspace, options, say } = bench;
  const count = Math.max(0, ...measures.map(({ sources }) => sources));
  if (count > 0) say(`writing ${count} x ${options.blobBytes / 1024 ** 2} MiB to send`);
  const large = [];
  for (let i = 0; i < count; i++) large.push(await makeSource(workspace, `source-${i}`, options.blobBytes));
  const sources = { large, warm: await makeSource(workspace, 'source-warm', warmBytes) };
  await fillLibraries(bench, sources);
  const results = [];
  for (const measure of measures) results.push(await takeMeasure(bench, measure, sources));
  return results;
}

/**
 * @param {Bench} bench
 * @param {Sources} sources
 */
async function fillLibraries({ measures, servers, workspace, options, say }, sources) {
  const parts = new Set(measures.flatMap(({ needs }) => needs));
  const [source = sources.warm] = sources.large;
  for (const peer of servers) {
    const begin = performance.now();
    const server = await ServerProcess.start(await peer.command(libraryOf(workspace, peer)));
    const { port } = server;
    try {
      await fillLibrary({ port, prefix: peer.prefix, source, ...options }, parts);
    } finally {
      await server.stop();
    }
    say(`${peer.title}: library filled in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
  }
}

/**
 * @param {Bench} bench
 * @param {import('./measures.mjs').Measure} measure
 * @param {Sources} sources
 * @returns {Promise<Result>}
 */
async function takeMeasure(bench, measure, sources) {
  /** @type {Result} */
  const result = { measure, samples: {}, failures: {} };
  for (let round = 1; round <= bench.options.rounds; round++) {
    for (const peer of bench.servers) {
      if (result.failures[peer.id] !== undefined) continue;
      try {
        const sample = await takeSample(bench, measure, peer, sources);
        (result.samples[peer.id] ??= []).push(sample);
        bench.say(
          `${measure.name} ${round}/${bench.options.rounds} ${peer.id}: ${sample.value.toFixed(2)} ${measure.unit}`,
        );
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        result.failures[peer.id] = reason;
        delete result.samples[peer.id];
        bench.say(`${measure.name} ${peer.id}: FAILED: ${reason}`);
      }
    }
  }
  return result;
}

/**
 * In a process of its own, so that no measure inherits another's memory or caches.
 * @param {Bench} bench
 * @param {import('./measures.mjs').Measure} measure
 * @param {import('./peers.mjs').Peer} peer
 * @param {Sources} sources
 */
async function takeSample({ drain, workspace, options }, measure, peer, sources) {
  const folder = measure.writes ? join(workspace, `${peer.id}-fresh`) : libraryOf(workspace, peer);
  const server = await ServerProcess.start(await peer.command(folder));
  try {
    const { large, warm } = sources;
    return await measure.run({
      drain,
      server,
      workspace,
      prefix: peer.prefix,
      sources: large,
      warmSource: warm,
      options,
    });
  } finally {
    await server.stop();
    if (measure.writes) {
      await removeFolder(folder);
      // What this one left to be written must not slow the next one down.
      execFileSync('sync');
    }
  }
}

/**
 * @param {string} workspace
 * @param {import('./peers.mjs').Peer} peer
 */
function libraryOf(workspace, peer) {
  return join(workspace, `${peer.id}-library`);
}
