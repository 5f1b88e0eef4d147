import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool, run } from './commands.js';
import type { CommandResult } from './commands.js';
import { startDaemon, waitForDaemon } from './daemon.js';
import type { Workspace } from './test-bed.js';

export interface Containerd {
  readonly socket: string;
  ctr(...args: string[]): Promise<CommandResult>;
  stop(): Promise<void>;
}

/** Starts a containerd that is independent of the machine's own: its socket, state and content are in the test's folder. */
export async function startContainerd(bed: Workspace): Promise<Containerd> {
  const folder = join(bed.folder, 'containerd');
  const socket = join(folder, 'sock');
  const config = join(folder, 'config.toml');
  await mkdir(folder, { recursive: true });
  await writeFile(config, configuration(folder, socket));
  const path = findTool('containerd') ?? 'containerd';
  const daemon = startDaemon(path, ['--config', config], { env: bed.env, logFile: join(folder, 'log') });
  await waitForDaemon(daemon, () => (existsSync(socket) ? socket : undefined));
  return {
    socket,
    ctr: (...args) => run('ctr', ['--address', socket, ...args], { env: bed.env }),
    stop: () => daemon.end(),
  };
}

function configuration(folder: string, socket: string): string {
  return [
    'version = 2',
    `root = "${folder}/root"`,
    `state = "${folder}/state"`,
    // The CRI plugin needs a network set-up of the machine, and the tests do not use it.
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    '[grpc]',
    `  address = "${socket}"`,
    '[plugins."io.containerd.internal.v1.opt"]',
    `  path = "${folder}/opt"`,
  ].join('\n');
}
