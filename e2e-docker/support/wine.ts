import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool, projectRoot, run } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';

/** The programs for `describeClient`: Wine, and Node for Windows. */
export const wineNeeds = ['wine64', 'wineserver', 'node.exe'];

/** A Wine prefix, which is like an installed Windows, and Node programs that run in it. */
export interface Wine {
  /** Converts the path of a folder to Windows: `/tmp/x` is `Z:\tmp\x`. */
  windowsPath(path: string): string;
  /** The folder that is `C:\` in Windows. */
  readonly driveC: string;
  /** Starts `artifactapi serve` with its output in a file of this name. */
  serve(name: string, ...args: string[]): Promise<WineRegistry>;
  /** Runs `artifactapi` and resolves to its output. Rejects on a status other than 0. */
  command(...args: string[]): Promise<string>;
  /** Stops all processes of the prefix. */
  close(): Promise<void>;
}

export interface WineRegistry {
  readonly origin: string;
  output(): string;
  /** Sends Ctrl+C, which Wine derives from SIGINT, and waits until it has exited. */
  stop(): Promise<void>;
  /** Kills it with SIGKILL and waits until it has exited. */
  kill(): Promise<void>;
}

/** Creates a prefix in the folder, which takes some seconds. */
export async function openWine(folder: string): Promise<Wine> {
  const prefix = join(folder, 'prefix');
  await mkdir(prefix);
  const env = {
    ...process.env,
    WINEPREFIX: prefix,
    WINEDEBUG: '-all',
    // Suppresses the offers to download Mono and Gecko.
    WINEDLLOVERRIDES: 'mscoree=d;mshtml=d',
    // Wine reports an older Windows version than Node requires.
    NODE_SKIP_PLATFORM_CHECK: '1',
  };
  const tool = (name: string): string => findTool(name) ?? name;
  const windowsPath = (path: string): string => `Z:${path.replaceAll('/', '\\')}`;
  const cli = windowsPath(join(projectRoot, 'dist/command/cli.js'));
  let commands = 0;
  // Uses files as streams: Node for Windows fails with EBADF on the sockets that Node passes to a child.
  const command = async (...args: string[]): Promise<string> => {
    const log = join(folder, `command-${++commands}.log`);
    const script = '"$@" </dev/null >"$LOG" 2>&1; status=$?; cat "$LOG"; exit $status';
    const commandLine = ['-c', script, 'sh', tool('wine64'), tool('node.exe'), ...args];
    return (await run('sh', commandLine, { env: { ...env, LOG: log }, cwd: folder, timeoutMs: 200_000 })).stdout;
  };
  await command('--version');
  return {
    windowsPath,
    driveC: join(prefix, 'drive_c'),
    async serve(name, ...args) {
      const listen = ['--host', '127.0.0.1', '--port', '0', '--log-level', 'info'];
      const daemon = startDaemon(tool('wine64'), [tool('node.exe'), cli, 'serve', ...listen, ...args], {
        env,
        cwd: folder,
        logFile: join(folder, `${name}.log`),
      });
      const origin = await waitForDaemon(
        daemon,
        () => /http:\/\/127\.0\.0\.1:[1-9]\d*/.exec(daemon.output())?.[0],
        60_000,
      );
      return {
        origin,
        output: () => daemon.output(),
        stop: () => daemon.end('SIGINT', 30_000),
        kill: () => daemon.end('SIGKILL'),
      };
    },
    command: (...args) => command(cli, ...args),
    async close() {
      // Affects only this prefix. Status 1 means that nothing was running in it.
      await run('wineserver', ['--kill'], { env }).catch(() => undefined);
      await run('wineserver', ['--wait'], { env });
    },
  };
}
