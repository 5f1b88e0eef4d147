import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { send } from './client.mjs';
import { endWithUs } from './cleanup.mjs';

/**
 * @typedef {object} Command
 * @property {string} program
 * @property {string[]} args
 * @property {Record<string, string>} [environment]
 * @property {boolean} [hasChildren] Whether it has children, which it stops at SIGTERM.
 * @property {number} [port] The port that it will listen on; absent if it prints its URL.
 */

const startLimitMs = 60_000;
const stopLimitMs = 20_000;
const quietMs = 300;
const quietLimitMs = 60_000;
/** The same on every Linux that Node runs on. */
const ticksPerSecond = 100;
const maxOutput = 20_000;

let started = 0;

/** A server process. */
export class ServerProcess {
  /** @type {import('node:child_process').ChildProcess} */
  #child;
  #output;
  #failure = '';
  port = 0;
  /** Whether it has children, whose CPU time and memory count too. */
  hasChildren;
  /** From the start of the process to the first 200 on /v2/. */
  startMs = 0;

  /**
   * @param {Command} command
   * @param {string} folder
   */
  constructor({ program, args, environment, hasChildren = false }, folder) {
    // An outgoing proxy of this machine cannot reach our loopback address.
    const env = { ...process.env, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1', ...environment };
    // An access log in a pipe would take our CPU time.
    this.#output = join(folder, `output-${++started}`);
    const output = openSync(this.#output, 'w');
    const child = spawn(program, args, { stdio: ['ignore', output, output], env });
    closeSync(output);
    this.hasChildren = hasChildren;
    this.#child = endWithUs(child, hasChildren ? 'SIGTERM' : 'SIGKILL');
    child.on('error', (error) => (this.#failure = error.message));
  }

  /**
   * Starts the server and waits until it answers.
   * @param {Command} command
   * @param {string} folder For a file with the output, which exists until the server stops.
   */
  static async start(command, folder) {
    const begin = performance.now();
    const server = new ServerProcess(command, folder);
    server.port = command.port ?? (await server.#until(() => server.#announcedPort()));
    await server.#until(() => server.#answers());
    server.startMs = performance.now() - begin;
    return server;
  }

  get pid() {
    return this.#child.pid ?? 0;
  }

  /** Returns the current resident size of the process and its children. */
  async residentMb() {
    return sumOf(this.pid, async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
    });
  }

  /** Returns the peak resident size of the process. */
  async peakMb() {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
  }

  /** Returns the CPU time of all threads of the process and its children. */
  async cpuSeconds() {
    return sumOf(this.pid, async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
      // The second field, the name in parentheses, may contain blanks. User and kernel time are the 14th and 15th field.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
    });
  }

  /** Does the same once the server is idle. */
  async cpuSecondsWhenQuiet() {
    const limit = performance.now() + quietLimitMs;
    let before = await this.cpuSeconds();
    while (performance.now() < limit) {
      await sleep(quietMs);
      const after = await this.cpuSeconds();
      // A timer of the server may use one tick.
      if (after - before < 1.5 / ticksPerSecond) return after;
      before = after;
    }
    throw new Error(`process ${this.pid} was still busy after ${quietLimitMs / 1000} s`);
  }

  /** Returns the bytes that the process has written to sockets and files. */
  async bytesWritten() {
    const io = await readFile(`/proc/${this.pid}/io`, 'utf8');
    return Number(/^wchar: (\d+)/m.exec(io)?.[1] ?? NaN);
  }

  /** Stops the process with SIGTERM, and after a timeout with SIGKILL. Resolves when it has exited. */
  async stop() {
    if (this.#isRunning()) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopLimitMs);
      await ended;
      clearTimeout(timer);
    }
    rmSync(this.#output, { force: true });
  }

  #isRunning() {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * @template T
   * @param {() => Promise<T | undefined> | T | undefined} probe
   * @returns {Promise<T>}
   */
  async #until(probe) {
    const limit = performance.now() + startLimitMs;
    while (performance.now() < limit && this.#isRunning()) {
      const found = await probe();
      if (found !== undefined) return found;
      await sleep(2);
    }
    // Why a program could not be started is reported only now.
    await sleep(0);
    const output = readFileSync(this.#output, 'utf8').slice(-maxOutput);
    await this.stop();
    throw new Error(`${this.#child.spawnargs.join(' ')} did not start:\n${output}${this.#failure}`);
  }

  #announcedPort() {
    const port = /http:\/\/127\.0\.0\.1:([1-9]\d*)/.exec(readFileSync(this.#output, 'utf8'))?.[1];
    return port === undefined ? undefined : Number(port);
  }

  async #answers() {
    try {
      const { status } = await send(this.port, 'GET', '/v2/');
      return status === 200 ? true : undefined;
    } catch {
      return undefined;
    }
  }
}

/**
 * Adds up a value over a process and its descendants.
 * @param {number} pid
 * @param {(pid: number) => Promise<number>} find
 * @returns {Promise<number>}
 */
async function sumOf(pid, find) {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const pids = children.split(' ').filter(Boolean).map(Number);
  const found = await Promise.all([find(pid), ...pids.map((child) => sumOf(child, find))]);
  return found.reduce((sum, value) => sum + value, 0);
}
