import { parseArgs } from 'node:util';

/**
 * @typedef {object} Options
 * @property {number} rounds How often each measure is taken of each server.
 * @property {number} blobBytes The size of a large blob.
 * @property {number} cacheBytes The size of a blob that goes through a cache.
 * @property {number} seconds How long a measure of requests runs.
 * @property {number} warmSeconds And how long before the clock runs.
 * @property {number} tags How many tags the long list has.
 * @property {number} repositories How many repositories the catalog has at least.
 * @property {string[]} only Parts of names of measures; empty for all.
 * @property {string[]} without Ids of peers to leave out.
 * @property {string} server The program to measure.
 * @property {string | undefined} folder Where the temporary data goes.
 * @property {boolean} quick
 * @property {boolean} gates
 */

const mebibyte = 1024 * 1024;
const full = { rounds: 5, blobBytes: 1024 * mebibyte, seconds: 4, warmSeconds: 1, tags: 10_000, repositories: 1000 };
const quick = { rounds: 3, blobBytes: 192 * mebibyte, seconds: 0.6, warmSeconds: 0.3, tags: 1000, repositories: 100 };

/** A cache's way in is slow enough for this to say all. */
const cacheLimit = 256 * mebibyte;

export const usage = `npm run bench -- [options]

  --quick          all in 6 minutes, roughly (${quick.rounds} rounds, ${quick.blobBytes / mebibyte} MiB, ${quick.seconds} s)
  --rounds N       how often each measure is taken of each server (${full.rounds})
  --size MIB       the size of a large blob (${full.blobBytes / mebibyte}); through caches at most ${cacheLimit / mebibyte}
  --seconds S      how long a measure of requests runs (${full.seconds})
  --only NAMES     only measures whose name has one of these in it: --only pull,images-w1
  --without PEERS  leave peers out: debian, distribution3
  --server PATH    the program to measure (dist/src/command/cli.js); it is given the arguments of "artifactapi serve"
  --folder PATH    where the temporary data goes (the system's temporary folder)
  --gates          end with status 1 when a gate falls short
  --list           name the measures
`;

/**
 * @param {string[]} args
 * @returns {Options & { help: boolean, list: boolean }}
 * @throws {TypeError} for what it does not understand.
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
      server: { type: 'string', default: 'dist/src/command/cli.js' },
      folder: { type: 'string' },
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
    folder: values.folder,
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
  throw new TypeError(`${name} must be a whole number from 1 on, not ${text}`);
}

/** @param {string} text */
function words(text) {
  return text.split(',').filter((word) => word !== '');
}
