/** Measures of registries. The others are in cache-measures.mjs and archive-measures.mjs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { runLoad } from './load.mjs';
import { recyclePages, warmMemory } from './workspace.mjs';
import { archiveMeasures } from './archive-measures.mjs';
import { cacheMeasures, miss, runRequests } from './cache-measures.mjs';
import { places, tagName } from './library.mjs';
import { byBytes, byCount } from './samples.mjs';

/**
 * A server that was started for one sample.
 * @typedef {object} Context
 * @property {string} id The id of the server.
 * @property {string} drain
 * @property {import('./server-process.mjs').ServerProcess} server
 * @property {import('./server-process.mjs').ServerProcess | undefined} upstream
 * @property {string} prefix
 * @property {string} workspace
 * @property {import('./sources.mjs').Source[]} sources The large files.
 * @property {import('./sources.mjs').Source} warmSource A smaller file, sent to warm up the server.
 * @property {import('./options.mjs').Options} options
 */

/**
 * @typedef {object} Measure
 * @property {string} name
 * @property {string} title
 * @property {import('./line-ups.mjs').Mode} mode
 * @property {'MB/s' | 'requests/s' | 'images/s' | 'ms'} unit For `ms` less is better, for the others more.
 * @property {'s/GiB' | 'ms/request' | 'ms/image' | 's'} cpuUnit
 * @property {import('./library.mjs').Part[]} needs The parts that must be in the library.
 * @property {boolean} writes Whether the measure needs an empty server instead of one with the library.
 * @property {number} sources The number of large files that it sends.
 * @property {(context: Context) => Promise<import('./samples.mjs').Sample>} run
 */

const settleMs = 1000;
/** So many times as long as for requests. */
const imageWarmUps = 8;

/** @type {Measure[]} */
const measures = [
  pull('pull-c1', 'pull, 1 client', 1, 3),
  pull('pull-c8', 'pull, 8 clients', 8, 1),
  requests('manifest-tag', 'manifest by tag, 64 clients', 'get', places.manifestByTag),
  requests('manifest-digest', 'manifest by digest, 64 clients', 'get', places.manifestByDigest),
  requests('blob-head', 'HEAD blob, 64 clients', 'head', places.smallBlob),
  requests('blob-get', 'GET blob of 10 KiB, 64 clients', 'get', places.smallBlob),
  push('push-mono-c1', 'push, 1 client', 1, 'mono'),
  push('push-chunked-c1', 'push chunked, 1 client', 1, 'chunked'),
  push('push-mono-c4', 'push, 4 clients', 4, 'mono'),
  images('images-w1', 'small images, 1 worker', 1),
  images('images-w8', 'small images, 8 workers', 8),
  list('tags-full', 'tags/list, all', 'tags', () => places.tags),
  list('tags-page', 'tags/list, page of 100', 'tags', ({ tags }) => {
    return `${places.tags}?n=100&last=${tagName(Math.floor(tags / 2))}`;
  }),
  list('catalog', 'catalog, page of 1000', 'catalog', ({ repositories }) => `_catalog?n=${repositories}`),
  start(),
  ...cacheMeasures,
  ...archiveMeasures,
  ...measuresOf('sidecar', [
    pull('nginx-pull-c1', 'behind nginx, pull, 1 client', 1, 3),
    pull('nginx-pull-c8', 'behind nginx, pull, 8 clients', 8, 1),
    requests('nginx-small-blob', 'behind nginx, blob of 10 KiB, 64 clients', 'get', places.smallBlob),
  ]),
  ...measuresOf('nodes', [
    pull('nodes-pull-c8', 'on PostgreSQL and S3, pull, 8 clients', 8, 1),
    requests('nodes-manifest-tag', 'on PostgreSQL and S3, manifest by tag, 64 clients', 'get', places.manifestByTag),
    push('nodes-push-c1', 'on PostgreSQL and S3, push, 1 client', 1, 'mono'),
    images('nodes-images-w8', 'on PostgreSQL and S3, small images, 8 workers', 8),
  ]),
  ...measuresOf('nodes-cache', [miss('nodes-miss-c8', 'cache miss on three nodes, blob, 8 concurrent clients', 8)]),
];

/**
 * Returns the measures that the words choose, or all measures if there are no words. A word is the name of a measure, or a part of
 * the names of several.
 * @param {string[]} words
 */
export function chooseMeasures(words) {
  if (words.length === 0) return measures;
  const names = new Set(measures.map(({ name }) => name));
  return measures.filter(({ name }) => words.some((word) => (names.has(word) ? name === word : name.includes(word))));
}

/**
 * @param {import('./line-ups.mjs').Mode} mode
 * @param {Measure[]} list Measures of another mode.
 */
function measuresOf(mode, list) {
  return list.map((measure) => ({ ...measure, mode }));
}

/**
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
    mode: 'registry',
    unit: 'MB/s',
    cpuUnit: 's/GiB',
    needs: ['blob'],
    writes: false,
    sources: 1,
    run: async ({ drain, server, prefix, sources: [source] }) => {
      const path = `/v2/${prefix}${places.largeBlob(source?.digest ?? '')}`;
      await runLoad(drain, 'get', server, { connections: 1, requests: 1 }, [path]);
      return byBytes(await runLoad(drain, 'get', server, { connections, requests: times }, [path]));
    },
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {'get' | 'head'} command
 * @param {string} place
 * @returns {Measure}
 */
function requests(name, title, command, place) {
  return {
    name,
    title,
    mode: 'registry',
    unit: 'requests/s',
    cpuUnit: 'ms/request',
    needs: ['image'],
    writes: false,
    sources: 0,
    run: ({ prefix, ...context }) => runRequests(context, command, 64, `/v2/${prefix}${place}`),
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {number} connections
 * @param {'mono' | 'chunked'} upload
 * @returns {Measure}
 */
function push(name, title, connections, upload) {
  return {
    name,
    title,
    mode: 'registry',
    unit: 'MB/s',
    cpuUnit: 's/GiB',
    needs: [],
    writes: true,
    sources: connections,
    run: async ({ drain, server, prefix, sources, warmSource, workspace }) => {
      const files = sources.slice(0, connections).flatMap(({ path, digest }) => [path, digest]);
      const options = { connections, requests: 1, upload };
      await runLoad(drain, 'push', server, options, [`${prefix}bench/warm`, warmSource.path, warmSource.digest]);
      await recyclePages(sources.slice(0, connections).map(({ path }) => path));
      await warmMemory(workspace, connections * (sources[0]?.size ?? 0));
      return byBytes(await runLoad(drain, 'push', server, options, [`${prefix}bench/push`, ...files]));
    },
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {number} connections
 * @returns {Measure}
 */
function images(name, title, connections) {
  return {
    name,
    title,
    mode: 'registry',
    unit: 'images/s',
    cpuUnit: 'ms/image',
    needs: [],
    writes: true,
    sources: 0,
    run: async ({ drain, server, prefix, options: { seconds, warmSeconds } }) => {
      const upload = /** @type {const} */ ('chunked');
      // A server in Node is slow until V8 has compiled what an image needs.
      const warming = { connections, seconds: imageWarmUps * warmSeconds, upload };
      await runLoad(drain, 'images', server, warming, [`${prefix}bench/warm`]);
      await recyclePages();
      return byCount(
        await runLoad(drain, 'images', server, { connections, seconds, upload }, [`${prefix}bench/images`]),
      );
    },
  };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {import('./library.mjs').Part} part
 * @param {(options: import('./options.mjs').Options) => string} place
 * @returns {Measure}
 */
function list(name, title, part, place) {
  return {
    name,
    title,
    mode: 'registry',
    unit: 'ms',
    cpuUnit: 'ms/request',
    needs: [part],
    writes: false,
    sources: 0,
    run: async ({ drain, server, prefix, options }) => {
      const path = `/v2/${part === 'catalog' ? '' : prefix}${place(options)}`;
      await runLoad(drain, 'get', server, { seconds: options.warmSeconds }, [path]);
      const load = await runLoad(drain, 'get', server, { seconds: options.seconds }, [path]);
      return { ...byCount(load), value: load.p50Ms };
    },
  };
}

/** @returns {Measure} */
function start() {
  return {
    name: 'start',
    title: 'time to the first answer; memory when idle',
    mode: 'registry',
    unit: 'ms',
    cpuUnit: 's',
    needs: [],
    writes: false,
    sources: 0,
    run: async ({ server }) => {
      await sleep(settleMs);
      return { value: server.startMs, cpu: await server.cpuSeconds(), memoryMb: await server.residentMb() };
    },
  };
}
