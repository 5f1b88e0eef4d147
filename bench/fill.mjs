/** Fills the servers and the upstream with the content that the measures read. */
import { join } from 'node:path';
import { fillLibrary, places } from './library.mjs';
import { runLoad } from './load.mjs';
import { ServerProcess } from './server-process.mjs';

/** @typedef {import('./bench.mjs').Stage} Stage */

/** @param {Stage} stage */
export async function fillRegistries({ bench: { options, say }, measures, servers, folder, sources }) {
  const parts = new Set(measures.flatMap(({ needs }) => needs));
  const [source = sources.warm] = sources.large;
  for (const peer of servers) {
    const begin = performance.now();
    const server = await ServerProcess.start(await peer.command(join(folder, peer.id)), folder);
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
 * Fills the upstream, also with the small blob, which warms up the servers before the miss of the large one.
 * @param {Stage} stage
 * @param {string} prefix
 */
export async function fillUpstream({ bench: { options }, measures, sources, upstream }, prefix) {
  const parts = new Set(measures.flatMap(({ needs }) => needs));
  const shelf = { port: upstream?.port ?? 0, prefix, ...options };
  await fillLibrary({ ...shelf, source: sources.warm }, parts);
  for (const source of sources.large) await fillLibrary({ ...shelf, source }, ['blob']);
}

/**
 * Pulls the content that cache hits will request through the caches.
 * @param {Stage} stage
 */
export async function fillCaches({ bench: { drain, say }, measures, servers, folder, sources, upstream }) {
  const parts = new Set(measures.flatMap(({ writes, needs }) => (writes ? [] : needs)));
  if (parts.size === 0) return;
  const blobs = parts.has('blob') ? sources.large.map(({ digest }) => places.largeBlob(digest)) : [];
  const manifests = parts.has('image') ? [places.manifestByTag, places.manifestByDigest] : [];
  for (const peer of servers) {
    const server = await ServerProcess.start(
      await peer.command(join(folder, peer.id), { upstreamPort: upstream?.port }),
      folder,
    );
    try {
      for (const place of [...blobs, ...manifests]) {
        await runLoad(drain, 'get', server, { connections: 1, requests: 1 }, [`/v2/${peer.prefix}${place}`]);
      }
      // Some caches store the content only after they have sent it.
      await server.cpuSecondsWhenQuiet();
    } finally {
      await server.stop();
    }
    say(`${peer.title}: cache filled`);
  }
}
