import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool, projectRoot, run } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';

/** What `describeClient` asks for: Wine, and Node for Windows. */
export const wineNeeds = ['wine64', 'wineserver', 'node.exe'];

/** A prefix of Wine, which is an installed Windows, and programs of Node that run in it. */
export interface Wine {
  /** A folder here, as Windows sees it: `/tmp/x` is `Z:\tmp\x`. */
  windowsPath(path: string): string;
  /** The folder here that Windows sees as `C:\`. */
  readonly driveC: string;
  /** Starts `artifactapi serve`, whose output goes to a file of this name. */
  serve(name: string, ...args: string[]): Promise<WineRegistry>;
  /** Runs `artifactapi` to its end and resolves to what it printed. Rejects on a status other than 0. */
  command(...args: string[]): Promise<string>;
  /** Ends all that runs in the prefix. */
  close(): Promise<void>;
}

export interface WineRegistry {
  readonly origin: string;
  output(): string;
  /** Ctrl+C, which is how Wine passes on SIGINT; waits for the end. */
  stop(): Promise<void>;
  /** kill -9, and waits for the end. */
  kill(): Promise<void>;
}

/** Makes a prefix in the folder, which takes some seconds. */
export async function openWine(folder: string): Promise<Wine> {
  const prefix = join(folder, 'prefix');
  await mkdir(prefix);
  const env = {
    ...process.env,
    WINEPREFIX: prefix,
    WINEDEBUG: '-all',
    // No offer to download what .NET and HTML need.
    WINEDLLOVERRIDES: 'mscoree=d;mshtml=d',
    // Wine calls itself an older Windows than Node wants.
    NODE_SKIP_PLATFORM_CHECK: '1',
  };
  const tool = (name: string): string => findTool(name) ?? name;
  const windowsPath = (path: string): string => `Z:${path.replaceAll('/', '\\')}`;
  const cli = windowsPath(join(projectRoot, 'dist/src/command/cli.js'));
  let commands = 0;
  // Files as streams: Node for Windows fails with EBADF on the sockets that Node here gives to a child.
  const command = async (...args: string[]): Promise<string> => {
    const log = join(folder, `command-${++commands}.log`);
    const script = '"$@" </dev/null >"$LOG" 2>&1; status=$?; cat "$LOG"; exit $status';
    const commandLine = ['-c', script, 'sh', tool('wine64'), tool('node.exe'), ...args];
    return (await run('sh', commandLine, { env: { ...env, LOG: log }, cwd: folder, timeoutMs: 120_000 })).stdout;
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
      // Of this prefix alone; status 1 says that nothing ran in it any more.
      await run('wineserver', ['--kill'], { env }).catch(() => undefined);
      await run('wineserver', ['--wait'], { env });
    },
  };
}
