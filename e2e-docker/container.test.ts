import { cp, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, busyboxTar, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { projectRoot, run } from './support/commands.js';
import { buildImage, describeContainer, startContainer, writeContainerConfig } from './support/container.js';
import type { RegistryContainer } from './support/container.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { RegistryHttp, http } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';

const image = 'artifactapi:e2e';
const base = 'local-only/busybox:1';
const volume = 'registry-data';
const engineNeeds = ['docker', 'dockerd', 'docker-proxy', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip'];
const needs = ['root', ...engineNeeds, 'busybox', 'npm', 'skopeo', 'crane'];

describeClient('the container image', needs, () => {
  let bed: Workspace;
  let engine: DockerEngine;
  let config: string;
  let registry: RegistryContainer;

  beforeAll(async () => {
    bed = await openWorkspace();
    engine = await startDockerEngine(bed);
    bed.onClose(() => engine.stop());
    await buildImage(engine, image, { DOCKER_BUILDKIT: '0' });
    const tar = join(bed.folder, 'busybox.tar');
    await writeFile(tar, await busyboxTar());
    await engine.docker(['import', '--change', 'CMD ["/bin/sh"]', tar, base]);
    const repositories = [{ name: 'local', type: 'local' }];
    config = await writeContainerConfig(bed, { access: 'open', repositories, server: { stopSeconds: 5 } });
    registry = await startContainer(engine, { image, config, volume });
  }, 180_000);
  afterAll(async () => {
    const { stdout } = (await engine?.docker(['ps', '--all', '--quiet'])) ?? { stdout: '' };
    for (const id of stdout.split(/\s+/).filter(Boolean)) await engine.docker(['rm', '--force', '--volumes', id]);
    await bed?.close();
  });

  const exec = async (...command: string[]): Promise<string> =>
    (await engine.docker(['exec', registry.name, ...command])).stdout.trim();
  const ref = (name: string): string => `${registry.host}/local/${name}`;
  const digestOf = (name: string): Promise<string | undefined> =>
    new RegistryHttp(registry.origin).tagDigest(`local/${name}`, '1');

  async function push(name: string): Promise<string> {
    const pushed = ref(`${name}:1`);
    await engine.docker(['tag', base, pushed]);
    await engine.docker(['push', pushed]);
    return pushed;
  }

  test('runs without root, with a read-only root folder, and owns its data', async () => {
    expect(await registry.inspect('{{.Config.User}} {{.HostConfig.ReadonlyRootfs}}')).toBe('1000:1000 true');
    expect(await exec('id', '-u')).toBe('1000');
    expect(await exec('ls', '-ldn', '/data')).toMatch(/^drwx\S+ +\d+ 1000 +1000 /);
    await expect(exec('mkdir', '/app/new')).rejects.toThrow('Read-only file system');
    // Process 1 is node itself, so it receives signals.
    expect(await exec('cat', '/proc/1/comm')).toMatch(/^(?:node|MainThread)$/);
  });

  test('has the compiled program, which only root can write', async () => {
    const folder = '/app/dist/command/compile-cache';
    expect(await exec('ls', folder)).toMatch(/^program\.cjs\.v[\d.]+-\w+$/m);
    expect(await exec('ls', '-ldn', folder)).toMatch(/^drwxr-xr-x +\d+ 0 +0 /);
  });

  test.each(['/healthz', '/readyz'])('answers %s', async (path) => {
    expect((await http(registry.origin + path)).status).toBe(200);
  });

  test('prints the greeting on stdout and logs JSON on stderr', async () => {
    await http(`${registry.origin}/v2/`);
    // The log is written after the answer.
    await expect.poll(async () => (await engine.docker(['logs', registry.name])).stderr).toContain('version.check');
    const { stdout, stderr } = await engine.docker(['logs', registry.name]);
    expect(stdout).toContain('listening on http://0.0.0.0:5000');
    const lines = stderr.trim().split('\n');
    const ops = lines.map((line) => (JSON.parse(line) as { op?: string }).op);
    expect(ops).toContain('version.check');
  });

  test.each([
    ['without a config file', [], /cannot read the config file: .*\/etc\/artifactapi\/config\.yaml/],
    ['without access control', ['--log-level=info'], /access is not configured/],
  ])('refuses to start %s', async (_case, flags, reason) => {
    await expect(engine.docker(['run', '--rm', '--network=none', image, ...flags])).rejects.toThrow(reason);
  });

  test('the engine pulls an image from the registry that runs in its container', async () => {
    const pushed = await push('team/next');
    await engine.docker(['rmi', '--force', pushed, base]);
    const { stdout: gone } = await engine.docker(['images', '--quiet', pushed]);
    expect(gone).toBe('');
    expect((await engine.docker(['pull', pushed])).stdout).toContain('Downloaded newer image');
    const { stdout } = await engine.docker(['run', '--rm', '--network=none', pushed, '/bin/echo', 'hello']);
    expect(stdout.trim()).toBe('hello');
    await engine.docker(['tag', pushed, base]);
  });

  test.each([
    ['skopeo', ['copy', '--dest-tls-verify=false', 'oci:layout-skopeo:1'], 'docker://'],
    ['crane', ['push', 'layout-crane'], ''],
  ])('%s pushes to it', async (client, command, scheme) => {
    const built = await busyboxImage({ marker: `by ${client}` });
    await writeLayout(join(bed.folder, `layout-${client}`), '1', built);
    await bed.run(client, ...command, `${scheme}${ref(`${client}:1`)}`);
    await new RegistryHttp(registry.origin).pullImage(`local/${client}`, '1', built);
  });

  test('a killed container restarts with its pushed images', async () => {
    await push('kept');
    const digest = await digestOf('kept');
    await engine.docker(['kill', registry.name]);
    await engine.docker(['start', registry.name]);
    registry = await describeContainer(engine, registry.name);
    expect(digest).toMatch(/^sha256:/);
    expect(await digestOf('kept')).toBe(digest);
  });

  // This must be the last test: it stops the container that the others use.
  test('the registry keeps its data when it is replaced by an image that it served itself', async () => {
    const next = ref('artifactapi:next');
    const context = join(bed.folder, 'next');
    await mkdir(context);
    await writeFile(join(context, 'Dockerfile'), `FROM ${image}\nCOPY Dockerfile /app/NEXT`);
    await engine.docker(['build', '--tag', next, context], { env: { DOCKER_BUILDKIT: '0' } });
    await engine.docker(['push', next]);
    await engine.docker(['rmi', '--force', next]);
    expect((await engine.docker(['pull', next])).stdout).toContain('Downloaded newer image');
    const digest = await digestOf('kept');
    // A kill after ten seconds would be status 137.
    await engine.docker(['stop', '--time=10', registry.name]);
    expect(await registry.inspect('{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 0');
    const { stderr } = await engine.docker(['logs', registry.name]);
    expect(stderr.trim().split('\n').at(-1)).toContain('"stopped"');
    registry = await startContainer(engine, { image: next, config, volume });
    expect(await exec('ls', '/app')).toContain('NEXT');
    expect(await digestOf('kept')).toBe(digest);
  });

  test('the build context of a clone has everything that the build needs', async () => {
    const context = join(bed.folder, 'clone');
    const lines = (await readFile(join(projectRoot, '.dockerignore'), 'utf8')).split('\n');
    for (const line of lines.filter((each) => each.startsWith('!')))
      await cp(join(projectRoot, line.slice(1)), join(context, line.slice(1)), { recursive: true });
    await symlink(join(projectRoot, 'node_modules'), join(context, 'node_modules'));
    await run('npm', ['run', 'build'], { cwd: context });
    const { stdout } = await run(process.execPath, ['dist/command/cli.js', '--version'], { cwd: context });
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await readdir(join(context, 'dist'))).toEqual(expect.arrayContaining(['openapi.json', 'ui']));
  });

  test('BuildKit builds the same image from the Dockerfile', async () => {
    const context = join(bed.folder, 'almost-nothing-to-run');
    await mkdir(join(context, 'dist/command'), { recursive: true });
    const saves = "require('fs').mkdirSync(__dirname + '/compile-cache/program.cjs', { recursive: true });";
    const runs = "process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 1000);";
    await writeFile(join(context, 'dist/command/cli.js'), `${runs}\n${saves}\n`);
    const flags = ['--network=none', '--build-arg=BASE_IMAGE=local/node', `--file=${projectRoot}/Dockerfile`];
    const env = { DOCKER_BUILDKIT: '1' };
    await engine.docker(['build', ...flags, '--tag=artifactapi:buildkit', context], { env });
    const kept = ['User', 'WorkingDir', 'Env', 'Entrypoint', 'Cmd', 'Volumes', 'ExposedPorts', 'Healthcheck'];
    const template = kept.map((name) => `{{json .Config.${name}}}`).join(' ');
    const describe = (tag: string) => engine.docker(['inspect', '--format', template, tag]);
    expect((await describe('artifactapi:buildkit')).stdout).toBe((await describe(image)).stdout);
  });
});
