import { parseArgs } from 'node:util';

/**
 * @typedef {object} Options
 * @property {number} rounds How often each server is measured.
 * @property {number} blobBytes The size of a large blob.
 * @property {number} cacheBytes The size of a blob that goes through a cache.
 * @property {number} seconds How long a measure of requests runs.
 * @property {number} warmSeconds How long the warm-up of such a measure runs.
 * @property {number} tags The number of tags in the long list.
 * @property {number} repositories The minimum number of repositories in the catalog.
 * @property {string[]} only Parts of the names of measures; empty for all.
 * @property {string[]} without Ids of peers to skip.
 * @property {string} server The program to measure.
 * @property {string | undefined} before An earlier build of the program, to compare with.
 * @property {string | undefined} folder The folder for temporary data.
 * @property {boolean} accessLog Whether the registries log each request.
 * @property {boolean} quick
 * @property {boolean} gates
 */

const mebibyte = 1024 * 1024;
const full = { rounds: 5, blobBytes: 1024 * mebibyte, seconds: 4, warmSeconds: 1, tags: 10_000, repositories: 1000 };
const quick = { rounds: 3, blobBytes: 192 * mebibyte, seconds: 0.6, warmSeconds: 0.3, tags: 1000, repositories: 100 };

/** Enough for caches, whose fills are slow. */
const cacheLimit = 256 * mebibyte;

export const usage = `npm run bench -- [options]

  --quick          everything in 6 minutes, with rough figures (${quick.rounds} rounds, ${quick.blobBytes / mebibyte} MiB, ${quick.seconds} s)
  --rounds N       how often each server is measured (${full.rounds})
  --size MIB       the size of a large blob (${full.blobBytes / mebibyte}); through caches at most ${cacheLimit / mebibyte}
  --seconds S      how long a measure of requests runs (${full.seconds})
  --only NAMES     only these measures, or those whose name contains one of these words: --only push,pull-c1
  --without PEERS  skip these peers: debian, distribution3, zot
  --server PATH    the program to measure (dist/command/cli.js); it gets the arguments of "artifactapi serve"
  --before PATH    also measure an earlier build of the program, as one more peer
  --folder PATH    the folder for temporary data (the system's temporary folder)
  --access-log     let all registries log each request, to a file, as they do by default (otherwise none does)
  --gates          exit with status 1 if a gate fails or was not measured
  --list           list the measures

The variable ZOT names the program of zot, which is then one more registry to compare with.
`;

/**
 * @param {string[]} args
 * @returns {Options & { help: boolean, list: boolean }}
 * @throws {TypeError} for invalid arguments.
 */
export function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      size: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      server: { type: 'string', default: 'dist/command/cli.js' },
      before: { type: 'string' },
      folder: { type: 'string' },
      'access-log': { type: 'boolean', default: false },
      gates: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const sizes = values.quick ? quick : full;
  const blobBytes = (positive('--size', values.size) ?? sizes.blobBytes / mebibyte) * mebibyte;
  return {
    ...sizes,
    rounds: positive('--rounds', values.rounds) ?? sizes.rounds,
    blobBytes,
    cacheBytes: values.size === undefined ? cacheLimit : Math.min(blobBytes, cacheLimit),
    seconds: positive('--seconds', values.seconds) ?? sizes.seconds,
    only: words(values.only),
    without: words(values.without),
    server: values.server,
    before: values.before,
    folder: values.folder,
    accessLog: values['access-log'],
    quick: values.quick,
    gates: values.gates,
    list: values.list,
    help: values.help,
  };
}

/**
 * @param {string} name
 * @param {string | undefined} text
 */
function positive(name, text) {
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text);
  throw new TypeError(`${name} must be a positive integer, not "${text}"`);
}

/** @param {string} text */
function words(text) {
  return text.split(',').filter((word) => word !== '');
}
