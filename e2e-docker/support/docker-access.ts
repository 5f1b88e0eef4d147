import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshHome, loginFlags, openAccessBed } from './access-bed.js';
import type { AccessBed, AccessBedOptions, User } from './access-bed.js';
import { busyboxTar } from './busybox.js';
import type { CommandResult } from './commands.js';
import { startDockerEngine } from './docker-engine.js';

const base = 'local-only/busybox:1';

/** The programs that a suite with an engine needs. */
export const dockerNeeds = [
  'root',
  'docker',
  'dockerd',
  'containerd',
  'containerd-shim-runc-v2',
  'runc',
  'ip',
  'busybox',
];

/** The engine's messages for a refused push or pull. */
export const dockerRefused = /denied|unauthorized|authentication required|no basic auth credentials/;

/** The docker command with the logins of one user. */
export type Docker = (...args: string[]) => Promise<CommandResult>;

/** A registry with rules, and an engine that uses it as a mirror of Docker Hub. */
export interface DockerAccessBed extends AccessBed {
  /** Creates the command of a user who is not logged in. Logins are stored in `home`. */
  newcomer(added?: Readonly<Record<string, string>>): Promise<{ readonly docker: Docker; readonly home: string }>;
  loggedIn(user: User, added?: Readonly<Record<string, string>>): Promise<Docker>;
}

/** Starts both. They can reach only this machine, because the engine requests from Docker Hub what the mirror refuses. */
export async function openDockerAccessBed(options: AccessBedOptions = {}): Promise<DockerAccessBed> {
  const nowhere = 'http://127.0.0.1:1';
  const bed = await openAccessBed({ ...options, env: { HTTPS_PROXY: nowhere, HTTP_PROXY: nowhere } });
  try {
    const engine = await startDockerEngine(bed, JSON.stringify({ 'registry-mirrors': [bed.registry.origin] }));
    bed.onClose(() => engine.stop());
    const tar = join(bed.folder, 'busybox.tar');
    await writeFile(tar, await busyboxTar());
    await engine.docker(['import', '--change', 'CMD ["/bin/sh"]', tar, base]);
    const newcomer: DockerAccessBed['newcomer'] = async (added = {}) => {
      const { env } = await freshHome(bed);
      const docker: Docker = (...args) => engine.docker(args, { env: { ...env, ...added } });
      return { docker, home: env['HOME'] ?? '' };
    };
    const loggedIn: DockerAccessBed['loggedIn'] = async (user, added) => {
      const { docker } = await newcomer(added);
      await docker('login', ...loginFlags(user), bed.registry.host);
      return docker;
    };
    return { ...bed, newcomer, loggedIn };
  } catch (error) {
    await bed.close();
    throw error;
  }
}

/** Tags and pushes an image of the engine. */
export async function dockerPush(docker: Docker, ref: string): Promise<CommandResult> {
  await docker('tag', base, ref);
  return docker('push', ref);
}

/** Removes the image from the engine, if it has it, and pulls it from the registry. */
export async function dockerPull(docker: Docker, ref: string): Promise<CommandResult> {
  await docker('rmi', '--force', ref);
  return docker('pull', ref);
}
