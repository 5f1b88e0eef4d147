/** Measures the registry behind nginx, which sends blobs itself or proxies their bytes. */
import { runLoad } from './load.mjs';
import { places } from './library.mjs';
import { byBytes, byCount } from './samples.mjs';

/** @typedef {import('./measures.mjs').Measure} Measure */

/** @type {Measure[]} */
export const sidecarMeasures = [
  pull('nginx-pull-c1', 'behind nginx, pull, 1 client', 1, 3),
  pull('nginx-pull-c8', 'behind nginx, pull, 8 clients', 8, 1),
  smallBlobs(),
];

/**
 * Measures pulls. CPU and memory include the registry and nginx.
 * @param {string} name
 * @param {string} title
 * @param {number} connections
 * @param {number} times
 * @returns {Measure}
 */
function pull(name, title, connections, times) {
  return {
    name,
    title,
    mode: 'sidecar',
    unit: 'MB/s',
    cpuUnit: 's/GiB',
    needs: ['blob'],
    writes: false,
    sources: 1,
    run: async ({ drain, server, prefix, sources: [source] }) => {
      const path = `/v2/${prefix}${places.largeBlob(source?.digest ?? '')}`;
      await runLoad(drain, 'get', server, { connections: 1, requests: 1 }, [path]);
      return byBytes(await runOnTree(drain, server, { connections, requests: times }, path));
    },
  };
}

/** @returns {Measure} */
function smallBlobs() {
  return {
    name: 'nginx-small-blob',
    title: 'behind nginx, blob of 10 KiB, 64 clients',
    mode: 'sidecar',
    unit: 'requests/s',
    cpuUnit: 'ms/request',
    needs: ['image'],
    writes: false,
    sources: 0,
    run: async ({ drain, server, prefix, options: { seconds, warmSeconds } }) => {
      const path = `/v2/${prefix}${places.smallBlob}`;
      await runLoad(drain, 'get', server, { connections: 64, seconds: warmSeconds }, [path]);
      return byCount(await runOnTree(drain, server, { connections: 64, seconds }, path));
    },
  };
}

/**
 * @param {string} drain
 * @param {import('./server-process.mjs').ServerProcess} server
 * @param {import('./load.mjs').LoadOptions} options
 * @param {string} path
 * @returns {Promise<import('./load.mjs').Load>}
 */
async function runOnTree(drain, server, options, path) {
  const before = await server.cpuSeconds();
  const load = await runLoad(drain, 'get', server, options, [path]);
  return { ...load, cpuSeconds: (await server.cpuSeconds()) - before, peakMb: await server.residentMb() };
}
