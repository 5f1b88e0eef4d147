import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot, run } from './commands.js';
import type { DockerEngine } from './docker-engine.js';
import type { Workspace } from './test-bed.js';

/** The registry in a container, as examples/container/ runs it. */
export interface RegistryContainer {
  readonly origin: string;
  /** `127.0.0.1:PORT`, as image names begin. */
  readonly host: string;
  readonly name: string;
  /** Returns a value of `docker inspect`, by its Go template. */
  inspect(template: string): Promise<string>;
}

const healthTimeoutMs = 90_000;
let starts = 0;

/** Builds the image of the Dockerfile without access to the internet. */
export async function buildImage(engine: DockerEngine, tag: string, env: NodeJS.ProcessEnv = {}): Promise<void> {
  const script = join(projectRoot, 'examples/container/build-offline.sh');
  await run('bash', [script, tag], { env: { ...engine.env, ...env }, timeoutMs: 200_000 });
}

/** Writes a config file that a container can read. JSON is YAML too. */
export async function writeContainerConfig(bed: Workspace, config: object): Promise<string> {
  const file = join(bed.folder, `container-${++starts}.yaml`);
  await writeFile(file, JSON.stringify(config), { mode: 0o644 });
  return file;
}

/** Runs the image without everything that it must not need: root, a writable root folder, capabilities. */
export async function startContainer(
  engine: DockerEngine,
  { image, config, volume }: { readonly image: string; readonly config: string; readonly volume: string },
): Promise<RegistryContainer> {
  const name = `registry-${++starts}`;
  const confined = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
  const mounts = [`--volume=${config}:/etc/artifactapi/config.yaml:ro`, `--volume=${volume}:/data`];
  const probes = ['--health-interval=1s'];
  const flags = [...confined, ...mounts, ...probes, '--publish=127.0.0.1::5000'];
  await engine.docker(['run', '--detach', `--name=${name}`, ...flags, image]);
  return describeContainer(engine, name);
}

/** Waits until the container is healthy. Returns its current port, which the engine chooses anew at each start. */
export async function describeContainer(engine: DockerEngine, name: string): Promise<RegistryContainer> {
  const inspect = async (template: string): Promise<string> =>
    (await engine.docker(['inspect', '--format', template, name])).stdout.trim();
  const deadline = Date.now() + healthTimeoutMs;
  for (;;) {
    const state = await inspect('{{.State.Status}} {{.State.Health.Status}}');
    if (state === 'running healthy') break;
    if (!/^(?:created|running) starting$/.test(state) || Date.now() > deadline) {
      const { stdout, stderr } = await engine.docker(['logs', name]);
      throw new Error(`the container is ${state}:\n${stdout}${stderr}`);
    }
    await sleep(100);
  }
  const { stdout } = await engine.docker(['port', name, '5000/tcp']);
  const host = stdout.trim();
  return { origin: `http://${host}`, host, name, inspect };
}
