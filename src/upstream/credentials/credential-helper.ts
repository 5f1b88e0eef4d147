import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { smallLimits } from '../../protocol/json.js';
import { failed, type UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import { readBounded } from '../../util/streams/streams.js';
import { parseObject } from '../upstream-manifest.js';
import type { RealmSecret } from './upstream-tokens.js';

/** Bounds of a run. */
export interface HelperBounds {
  /** @default 30000 */
  readonly timeoutMs?: number;
  /** Kills the program. */
  readonly signal?: AbortSignal;
}

const timeoutDefaultMs = 30_000;
const maxOutputBytes = 64 * 1024;

/**
 * Runs a Docker credential helper without a shell: the server's name goes to its standard input, and it writes JSON with
 * `Username` and `Secret`. The user name `<token>` marks an identity token. Its output is never shown, because it may contain
 * secrets even when it fails.
 * @throws UpstreamVerdict failed, with the name of the program, when it does not return credentials.
 */
export async function askCredentialHelper(
  [program = '', ...args]: readonly string[],
  server: string,
  { timeoutMs = timeoutDefaultMs, signal }: HelperBounds = {},
): Promise<RealmSecret> {
  const refuse = (why: string): UpstreamVerdict =>
    failed(`its credentials could not be obtained: the helper ${JSON.stringify(path.basename(program))} ${why}`);
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'ignore'],
    windowsHide: true,
    killSignal: 'SIGKILL',
    signal,
  });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
    // A process that it started may keep its output open.
    child.stdout.destroy();
  }, timeoutMs);
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.name));
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  try {
    // A program that does not read its input closes the pipe.
    child.stdin.on('error', () => {}).end(`${server}\n`);
    const [output, code] = await Promise.all([readOutput(child.stdout, () => child.kill('SIGKILL')), ended]);
    if (isLate) throw refuse(`did not end within ${timeoutMs / 1000} s`);
    if (output === undefined) throw refuse(`wrote more than ${maxOutputBytes} bytes`);
    if (code === 'ENOENT') throw refuse('was not found');
    if (code !== 0) throw refuse(typeof code === 'number' ? `ended with exit code ${code}` : `failed (${code})`);
    const credentials = parseOutput(output);
    if (credentials === undefined) throw refuse('did not write JSON with Username and Secret');
    return credentials;
  } finally {
    clearTimeout(timer);
  }
}

async function readOutput(stdout: Readable, kill: () => void): Promise<Buffer | undefined> {
  const output = await readBounded(stdout, maxOutputBytes).catch(() => Buffer.alloc(0));
  if (output === undefined) kill();
  return output;
}

function parseOutput(output: Buffer): RealmSecret | undefined {
  const { Username: username, Secret: secret } = parseObject(output, smallLimits) ?? {};
  if (typeof username !== 'string' || typeof secret !== 'string' || username === '' || secret === '') return undefined;
  return username === '<token>' ? { identityToken: secret } : { username, password: secret };
}
