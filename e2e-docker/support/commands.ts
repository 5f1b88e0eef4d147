import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The root folder of the repository, with `dist/` and `.e2e-tools/`. */
export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The search path for clients. The unpacked newer clients come first, then the programs of the Linux distribution: another
 * `docker` earlier on the user's PATH may lack features that the tests need, such as the BuildKit plugin.
 */
export const toolPath = [
  join(projectRoot, '.e2e-tools/usr/bin'),
  // The folder of wine64 on Debian.
  '/usr/lib/wine',
  '/usr/bin',
  '/usr/sbin',
  '/bin',
  '/sbin',
  ...(process.env['PATH'] ?? '').split(delimiter),
].join(delimiter);

/** Returns the full path of a program on `toolPath`; `undefined` if it is not installed. Returns a full path unchanged. */
export function findTool(name: string): string | undefined {
  if (isAbsolute(name)) return isExecutable(name) ? name : undefined;
  return toolPath
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Milliseconds until the program is killed. @default 45_000 */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

const execute = promisify(execFile);

/** Runs a program. Rejects, with its output in the message, on a status other than 0 and on a timeout. */
export async function run(
  tool: string,
  args: readonly string[],
  { env, cwd, timeoutMs = 120_000 }: CommandOptions = {},
): Promise<CommandResult> {
  const path = findTool(tool);
  if (path === undefined) throw new Error(`${tool} is not installed`);
  const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024, encoding: 'utf8' } as const;
  try {
    return await execute(path, [...args], {
      ...limits,
      env: env ?? process.env,
      ...(cwd === undefined ? {} : { cwd }),
    });
  } catch (error) {
    throw new Error(describeFailure([tool, ...args].join(' '), error), { cause: error });
  }
}

function describeFailure(commandLine: string, error: unknown): string {
  const { code, signal, stdout, stderr } = error as {
    code?: unknown;
    signal?: unknown;
    stdout?: string;
    stderr?: string;
  };
  const ending = typeof code === 'number' ? `status ${code}` : `signal ${String(signal)}`;
  return `${commandLine}\nended with ${ending}\n${stdout ?? ''}${stderr ?? ''}`;
}
