import { execFile } from 'node:child_process';
import { endWithUs } from './cleanup.mjs';

/**
 * The measurements of the load client.
 * @typedef {object} Load
 * @property {number} seconds
 * @property {number} done
 * @property {number} errors
 * @property {number} bytes
 * @property {number} cpuSeconds CPU time of the server and its children.
 * @property {number} peakMb Peak resident size of the server during the load; with children, the size of all after it.
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {number} firstByteMs From a request to the first byte of its body, on average.
 */

/** No measure takes this long. */
const limitMs = 300_000;

/**
 * @typedef {object} LoadOptions
 * @property {number} [connections]
 * @property {number} [requests] Per connection.
 * @property {number} [seconds] No request starts after this time.
 * @property {'mono' | 'chunked'} [upload]
 */

/**
 * @param {string} program
 * @param {'get' | 'head' | 'push' | 'images'} command
 * @param {import('./server-process.mjs').ServerProcess} server
 * @param {LoadOptions} options
 * @param {string[]} rest
 * @returns {Promise<Load>}
 * @throws {Error} with the output of the client if something failed.
 */
export async function runLoad(program, command, server, options, rest) {
  if (!server.hasChildren) return runClient(program, command, server, options, rest);
  const before = await server.cpuSeconds();
  const load = await runClient(program, command, server, options, rest);
  return { ...load, cpuSeconds: (await server.cpuSeconds()) - before, peakMb: await server.residentMb() };
}

/**
 * @param {string} program
 * @param {'get' | 'head' | 'push' | 'images'} command
 * @param {import('./server-process.mjs').ServerProcess} server
 * @param {LoadOptions} options
 * @param {string[]} rest
 * @returns {Promise<Load>} With the CPU time and memory of the process alone.
 */
function runClient(program, command, server, options, rest) {
  const args = [command, '-p', String(server.port), '-s', String(server.pid)];
  if (options.connections !== undefined) args.push('-c', String(options.connections));
  if (options.requests !== undefined) args.push('-n', String(options.requests));
  if (options.seconds !== undefined) args.push('-t', String(options.seconds));
  if (options.upload !== undefined) args.push('-m', options.upload);
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args, ...rest], { timeout: limitMs }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`the load client failed: ${stderr.trim() || error.message}`));
      else resolve(JSON.parse(stdout));
    });
    endWithUs(child);
  });
}
