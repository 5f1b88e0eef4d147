/** Measures registries in front of an upstream: cache misses, cache hits and pass-through. */
import { runLoad } from './load.mjs';
import { places } from './library.mjs';
import { byBytes, byCount } from './samples.mjs';
import { staticManifest } from './static-upstream.mjs';
import { warmMemory } from './workspace.mjs';

/** @typedef {import('./measures.mjs').Measure} Measure */
/** @typedef {Pick<import('./options.mjs').Options, 'seconds' | 'warmSeconds'>} Durations */

/** @type {Measure[]} */
export const cacheMeasures = [
  miss('miss-c1', 'cache miss, blob, 1 client', 1),
  miss('miss-c8', 'cache miss, blob, 8 concurrent clients', 8),
  hit('hit-c1', 'cache hit, blob, 1 client', 1, 4),
  hit('hit-c8', 'cache hit, blob, 8 clients', 8, 1),
  warm('warm-tag-c16', 'cache hit, manifest by fresh tag, 16 clients', 16, places.manifestByTag),
  warm('warm-tag-c64', 'cache hit, manifest by fresh tag, 64 clients', 64, places.manifestByTag),
  warm('warm-digest', 'cache hit, manifest by digest, 64 clients', 64, places.manifestByDigest),
  passthrough(),
];

/**
 * Counts CPU and bytes until the server is idle: some caches keep working after the last client has its answer.
 * @param {string} name
 * @param {string} title
 * @param {number} connections
 * @returns {Measure}
 */
export function miss(name, title, connections) {
  return {
    name,
    title,
    mode: 'cache',
    unit: 'MB/s',
    cpuUnit: 's/GiB',
    needs: ['blob'],
    writes: true,
    sources: 1,
    run: async ({ drain, server, upstream, prefix, sources: [source], warmSource, workspace }) => {
      const size = source?.size ?? 0;
      const [warmPath, path] = [warmSource, source].map(
        (file) => `/v2/${prefix}${places.largeBlob(file?.digest ?? '')}`,
      );
      await runLoad(drain, 'get', server, { connections, requests: 1 }, [warmPath ?? '']);
      const cpuBefore = await server.cpuSecondsWhenQuiet();
      await warmMemory(workspace, size);
      const sentBefore = (await upstream?.bytesWritten()) ?? 0;
      const load = await runLoad(drain, 'get', server, { connections, requests: 1 }, [path ?? '']);
      const cpuSeconds = (await server.cpuSecondsWhenQuiet()) - cpuBefore;
      const sent = ((await upstream?.bytesWritten()) ?? 0) - sentBefore;
      return { ...byBytes({ ...load, cpuSeconds }), firstByteMs: load.firstByteMs, upstreamTimes: sent / size };
    },
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {number} connections
 * @param {number} times
 * @returns {Measure}
 */
function hit(name, title, connections, times) {
  return {
    name,
    title,
    mode: 'cache',
    unit: 'MB/s',
    cpuUnit: 's/GiB',
    needs: ['blob'],
    writes: false,
    sources: 1,
    run: async ({ drain, server, upstream, prefix, sources: [source] }) => {
      const path = `/v2/${prefix}${places.largeBlob(source?.digest ?? '')}`;
      await runLoad(drain, 'get', server, { connections: 1, requests: 1 }, [path]);
      const sentBefore = (await upstream?.bytesWritten()) ?? 0;
      const load = await runLoad(drain, 'get', server, { connections, requests: times }, [path]);
      const sent = ((await upstream?.bytesWritten()) ?? 0) - sentBefore;
      return { ...byBytes(load), firstByteMs: load.firstByteMs, upstreamTimes: sent / (source?.size ?? 0) };
    },
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {number} connections
 * @param {string} place
 * @returns {Measure}
 */
function warm(name, title, connections, place) {
  return {
    name,
    title,
    mode: 'cache',
    unit: 'requests/s',
    cpuUnit: 'ms/request',
    needs: ['image'],
    writes: false,
    sources: 0,
    run: ({ prefix, ...context }) => runRequests(context, 'get', connections, `/v2/${prefix}${place}`),
  };
}

/** @returns {Measure} */
function passthrough() {
  return {
    name: 'passthrough-small',
    title: 'pass-through, manifest of 1 KB, 64 clients',
    mode: 'passthrough',
    unit: 'requests/s',
    cpuUnit: 'ms/request',
    needs: [],
    writes: true,
    sources: 0,
    run: ({ prefix, drain, server, options: { seconds, warmSeconds } }) => {
      // Both servers are JavaScript, which needs a long warm-up.
      const options = { seconds, warmSeconds: 6 * warmSeconds };
      return runRequests({ drain, server, options }, 'get', 64, `/v2/${prefix}${staticManifest}`);
    },
  };
}

/**
 * Warms the server up with requests for a path, and measures more of them.
 * @param {{ drain: string, server: import('./server-process.mjs').ServerProcess, options: Durations }} context
 * @param {'get' | 'head'} command
 * @param {number} connections
 * @param {string} path
 */
export async function runRequests({ drain, server, options: { seconds, warmSeconds } }, command, connections, path) {
  await runLoad(drain, command, server, { connections, seconds: warmSeconds }, [path]);
  return byCount(await runLoad(drain, command, server, { connections, seconds }, [path]));
}
