/** Builds the load client and, if Go is installed, the newer distribution. */
import { execFile } from 'node:child_process';
import { access, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { distribution, zot } from './peers.mjs';

const execute = promisify(execFile);
const newerVersion = 'v3.1.1';
const newerModule = 'github.com/distribution/distribution/v3/cmd/registry';
const buildLimitMs = 600_000;

/**
 * @param {string} folder Keeps the program for the next run.
 * @returns {Promise<string>} The path of the load client.
 */
export async function buildDrain(folder) {
  const sources = join(import.meta.dirname, 'drain');
  const files = (await readdir(sources)).filter((name) => name.endsWith('.c')).map((name) => join(sources, name));
  const program = join(folder, 'drain');
  await mkdir(folder, { recursive: true });
  await execute('gcc', ['-std=gnu11', '-O2', '-Wall', '-pthread', '-o', program, ...files, '-lcrypto']);
  return program;
}

/**
 * Returns the peers that this machine has or can build, and prints which are missing.
 * @param {string} folder
 * @param {string[]} without Ids of peers to skip.
 */
export async function findPeers(folder, without) {
  const finders = { debian: findDebian, distribution3: () => buildNewer(folder) };
  const peers = [];
  for (const [id, find] of Object.entries(finders)) {
    if (without.includes(id)) continue;
    const peer = await find();
    if (peer !== undefined) peers.push(peer);
  }
  return peers;
}

/** @returns {Promise<import('./peers.mjs').Peer | undefined>} */
export async function findDebian() {
  try {
    const { stdout } = await execute('docker-registry', ['--version']);
    return distribution('debian', 'docker-registry', /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? 'of Debian');
  } catch {
    process.stderr.write('bench: docker-registry is not installed, so it is skipped\n');
    return undefined;
  }
}

/**
 * Returns zot, if the variable ZOT names its program.
 * @param {string[]} without Ids of peers to skip.
 * @returns {Promise<import('./peers.mjs').Peer | undefined>}
 * @throws {Error} if the program does not run.
 */
export async function findZot(without) {
  const program = process.env['ZOT'] ?? '';
  if (program === '' || without.includes('zot')) return undefined;
  try {
    const { stdout, stderr } = await execute(program, ['--version']);
    return zot(program, /v?(\d+\.\d+\.\d+)/.exec(/"commit":"[^"]*/.exec(stdout + stderr)?.[0] ?? '')?.[1] ?? '');
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
    throw new Error(`ZOT=${program} does not run: ${reason}`, { cause: error });
  }
}

/**
 * Returns the path of the newer distribution.
 * @param {string} folder
 */
export function newerProgram(folder) {
  return join(folder, `distribution-${newerVersion}`);
}

/** @param {string} folder */
async function buildNewer(folder) {
  const program = newerProgram(folder);
  try {
    await access(program);
  } catch {
    process.stderr.write(`bench: building distribution ${newerVersion} (a minute or two)\n`);
    try {
      const env = { ...process.env, GOBIN: folder };
      await execute('go', ['install', `${newerModule}@${newerVersion}`], { env, timeout: buildLimitMs });
    } catch (error) {
      const reason = error instanceof Error ? error.message.slice(0, 500) : String(error);
      process.stderr.write(`bench: distribution ${newerVersion} could not be built, so it is skipped: ${reason}\n`);
      return undefined;
    }
    await rename(join(folder, 'registry'), program);
  }
  return distribution('distribution3', program, newerVersion.slice(1));
}
