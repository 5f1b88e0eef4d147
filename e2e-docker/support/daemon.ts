import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Daemon {
  readonly pid: number;
  /** Returns everything that it has printed so far. */
  output(): string;
  readonly running: boolean;
  /** Sends the signal and resolves when the process has exited. Kills it after `graceMs`, 15 s by default. */
  end(signal?: NodeJS.Signals, graceMs?: number): Promise<void>;
}

export interface DaemonOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** A file for stdout and stderr: children of a daemon may outlive the reader of a pipe. */
  readonly logFile: string;
}

/** Starts a long-running program as our child, which is stopped only by its process id. */
export function startDaemon(path: string, args: readonly string[], options: DaemonOptions): Daemon {
  const { env = process.env, cwd, logFile } = options;
  const log = openSync(logFile, 'a');
  const child = spawn(path, [...args], { env, cwd, stdio: ['ignore', log, log] });
  closeSync(log);
  let failure = '';
  child.on('error', (error) => (failure = String(error)));
  return {
    pid: child.pid ?? -1,
    output: () => readFileSync(logFile, 'utf8') + failure,
    get running() {
      return isRunning(child);
    },
    end: (signal = 'SIGTERM', graceMs = 15_000) => endChild(child, signal, graceMs),
  };
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function endChild(child: ChildProcess, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  if (!isRunning(child)) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(killer);
}

/** Resolves to `true` when a port on loopback accepts connections, otherwise to `undefined`: a probe for `waitForDaemon`. */
export async function acceptsConnections(port: number): Promise<true | undefined> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

/** Polls until `probe` returns a value. Rejects with the output of the daemon if it exits early or after `timeoutMs`. */
export async function waitForDaemon<T>(
  daemon: Daemon,
  probe: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const value = await probe();
    if (value !== undefined) return value;
    if (!daemon.running) throw new Error(`the process ended before it was ready:\n${daemon.output()}`);
    await sleep(20);
  }
  await daemon.end('SIGKILL');
  throw new Error(`the process was not ready after ${timeoutMs} ms:\n${daemon.output()}`);
}
