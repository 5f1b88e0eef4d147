import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool, run } from './commands.js';
import type { CommandOptions, CommandResult } from './commands.js';
import { startContainerd } from './containerd.js';
import { startDaemon, waitForDaemon } from './daemon.js';
import type { Workspace } from './test-bed.js';

export interface DockerEngine {
  /** Runs the docker command against this engine. */
  docker(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** The value of `DOCKER_HOST`. */
  readonly host: string;
  /** The environment for docker commands that use this engine. */
  readonly env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

/**
 * Starts a Docker engine that is independent of the machine's own: with its own socket, data, pid file, containerd and bridge.
 * With the default bridge it would share `docker0`, and with `--bridge=none` it would delete it.
 * @param daemonJson the text of its `daemon.json`; absent: that of the machine, if there is one.
 */
export async function startDockerEngine(bed: Workspace, daemonJson?: string): Promise<DockerEngine> {
  const bridge = `e2e${process.pid}`;
  await run('ip', ['link', 'add', 'name', bridge, 'type', 'bridge']);
  const removeBridge = () => run('ip', ['link', 'delete', bridge]);
  const containerd = await startContainerd(bed);
  const folder = join(bed.folder, 'docker');
  const socket = join(folder, 'sock');
  await mkdir(folder, { recursive: true });
  const settings = engineSettings(folder, socket, bridge, containerd.socket);
  if (daemonJson !== undefined) {
    await writeFile(join(folder, 'daemon.json'), daemonJson);
    settings.push(`--config-file=${folder}/daemon.json`);
  }
  const daemon = startDaemon(findTool('dockerd') ?? 'dockerd', settings, {
    env: bed.env,
    logFile: join(folder, 'log'),
  });
  const stop = async (): Promise<void> => {
    await daemon.end();
    await containerd.stop();
    await removeBridge();
  };
  const env = { ...bed.env, DOCKER_HOST: `unix://${socket}` };
  const docker: DockerEngine['docker'] = (args, options = {}) =>
    run('docker', args, { cwd: bed.folder, ...options, env: { ...env, ...options.env } });
  try {
    await waitForDaemon(daemon, () => answers(socket, docker), 30_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return { docker, host: env.DOCKER_HOST, env, stop };
}

function engineSettings(folder: string, socket: string, bridge: string, containerd: string): string[] {
  return [
    `--data-root=${folder}/data`,
    `--exec-root=${folder}/exec`,
    `--pidfile=${folder}/pid`,
    `--host=unix://${socket}`,
    `--containerd=${containerd}`,
    `--bridge=${bridge}`,
    // Test containers need no network, and tests must not change the packet filter of the machine.
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--insecure-registry=127.0.0.0/8',
  ];
}

async function answers(socket: string, docker: DockerEngine['docker']): Promise<true | undefined> {
  if (!existsSync(socket)) return undefined;
  return docker(['version']).then(
    () => true as const,
    () => undefined,
  );
}
