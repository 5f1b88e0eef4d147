import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run, toolPath } from './commands.js';
import type { CommandResult } from './commands.js';
import { startRegistry } from './registry-server.js';
import type { RegistryServer } from './registry-server.js';
import { startScaledOut } from './scale-out.js';
import { createTempDir } from './temp-dir.js';

/** The working area of clients and servers. */
export interface Workspace {
  /** The folder of this run, with all files of clients. */
  readonly folder: string;
  /** The environment of clients. Its home is empty, so that logins, caches and settings of the user have no effect. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs a client. Rejects with its output if it fails. */
  run(tool: string, ...args: string[]): Promise<CommandResult>;
  /** Registers a cleanup to run before the folder is removed, in reverse order. */
  onClose(end: () => Promise<unknown>): void;
  close(): Promise<void>;
}

export interface TestBed extends Workspace {
  readonly registry: Pick<RegistryServer, 'origin' | 'host' | 'output'>;
  /** `127.0.0.1:PORT/local/<name>` */
  ref(name: string): string;
}

/**
 * A running registry without data, and the working area of its clients. With `E2E_NODES=3`, it is three nodes behind nginx:
 * `E2E_NODES=3 npm run e2e -- docker-engine containerd podman`.
 */
export async function openTestBed(): Promise<TestBed> {
  const workspace = await openWorkspace();
  try {
    const registry = await startRegistryOrNodes(workspace);
    return { ...workspace, registry, ref: (name) => `${registry.host}/local/${name}` };
  } catch (error) {
    await workspace.close();
    throw error;
  }
}

async function startRegistryOrNodes(workspace: Workspace): Promise<TestBed['registry']> {
  if (process.env['E2E_NODES'] === '3') return startScaledOut(workspace);
  const registry = await startRegistry(workspace.folder);
  workspace.onClose(() => registry.stop());
  return registry;
}

/** Creates an empty folder and the environment of clients in it, with the variables in `added`. */
export async function openWorkspace(added: Readonly<Record<string, string>> = {}): Promise<Workspace> {
  const dir = await createTempDir();
  const env = { ...(await clientEnvironment(dir.path)), ...added };
  const ends: (() => Promise<unknown>)[] = [];
  return {
    folder: dir.path,
    env,
    run: (tool, ...args) => run(tool, args, { env, cwd: dir.path }),
    onClose: (end) => void ends.push(end),
    close: async () => {
      for (const end of ends.splice(0).toReversed()) await end();
      await dir.release();
    },
  };
}

async function clientEnvironment(folder: string): Promise<NodeJS.ProcessEnv> {
  const home = join(folder, 'home');
  const temporary = join(folder, 'tmp');
  await mkdir(join(home, 'run'), { recursive: true });
  await mkdir(temporary, { recursive: true });
  return {
    PATH: toolPath,
    HOME: home,
    TMPDIR: temporary,
    XDG_RUNTIME_DIR: join(home, 'run'),
    XDG_DATA_HOME: join(home, 'data'),
    XDG_CONFIG_HOME: join(home, 'config'),
    NO_PROXY: '127.0.0.1,localhost',
    LC_ALL: 'C.UTF-8',
    // Identifies all processes of a CI run, so that its cleanup can find leftovers.
    ...(process.env['E2E_RUN_ID'] === undefined ? {} : { E2E_RUN_ID: process.env['E2E_RUN_ID'] }),
  };
}
