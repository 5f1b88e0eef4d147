import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, busyboxTar, tarOfFiles, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { projectRoot } from './support/commands.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { composeImage, content, jsonContent, mediaTypes, sha256 } from './support/images.js';
import type { Image } from './support/images.js';
import { containersTool } from './support/podman.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

const command = `${process.execPath} ${join(projectRoot, 'dist/command/cli.js')}`;

/** The parts of the answer to an import that these tests check. */
interface Report {
  readonly images: readonly { image: string; tags: readonly string[]; digest: string }[];
}

/** Imports and exports archives of a running registry with curl. */
class Archives {
  readonly #bed: TestBed;
  readonly api: string;

  constructor(bed: TestBed) {
    this.#bed = bed;
    this.api = `${bed.registry.origin}/api/v1/repositories/local`;
  }

  file(name: string): string {
    return join(this.#bed.folder, name);
  }

  async bring(file: string, query = ''): Promise<Report> {
    const args = ['-sS', '--fail-with-body', '-F', `file=@${file}`, `${this.api}/import${query}`];
    return JSON.parse((await this.#bed.run('curl', ...args)).stdout) as Report;
  }

  async get(query: string, file: string): Promise<string> {
    await this.#bed.run('curl', '-sS', '--fail-with-body', '-o', file, `${this.api}/export?${query}`);
    return file;
  }

  /** Runs a command line in a shell. */
  shell(script: string, env: NodeJS.ProcessEnv = {}): Promise<{ stdout: string }> {
    const withApi = `set -euo pipefail; api=${this.api}; ${script}`;
    const settings = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
    return this.#bed.run('env', ...settings, 'bash', '-c', withApi);
  }
}

const dockerNeeds = ['root', 'docker', 'dockerd', 'containerd', 'runc', 'ip', 'busybox', 'curl'];

describeClient('archives of docker', dockerNeeds, () => {
  let bed: TestBed;
  let engine: DockerEngine;
  let archives: Archives;

  beforeAll(async () => {
    bed = await openTestBed();
    archives = new Archives(bed);
    engine = await startDockerEngine(bed);
    const tar = join(bed.folder, 'busybox.tar');
    await writeFile(tar, await busyboxTar());
    await engine.docker(['import', '--change', 'CMD ["/bin/sh"]', tar, 'local-only/busybox:1']);
    const context = join(bed.folder, 'context');
    await mkdir(context);
    await writeFile(
      join(context, 'Dockerfile'),
      'FROM local-only/busybox:1\nRUN echo built > /note\nCMD ["cat", "/note"]\n',
    );
    const build = ['build', '--network=none', '--tag', 'team/app:1', '--tag', 'team/app:2', context];
    await engine.docker(build, { env: { DOCKER_BUILDKIT: '0' } });
  });
  afterAll(async () => {
    await engine?.stop();
    await bed?.close();
  });

  async function runs(ref: string): Promise<string> {
    return (await engine.docker(['run', '--rm', '--network=none', ref])).stdout.trim();
  }

  async function forget(...refs: string[]): Promise<void> {
    for (const ref of refs) await engine.docker(['rmi', '--force', ref]).catch(() => undefined);
  }

  test('docker save | curl -F imports images that can be pulled and run', async () => {
    const { stdout } = await archives.shell(
      'docker save team/app:1 team/app:2 local-only/busybox:1 | curl -sS --fail-with-body -F file=@- $api/import',
      { DOCKER_HOST: engine.host },
    );
    // The engine writes them in an arbitrary order.
    const names = (JSON.parse(stdout) as Report).images.flatMap(({ image, tags }) =>
      tags.map((tag) => `${image}:${tag}`),
    );
    expect(names.toSorted()).toEqual(['local-only/busybox:1', 'team/app:1', 'team/app:2']);
    await forget('team/app:1', 'team/app:2');
    await engine.docker(['pull', bed.ref('team/app:2')]);
    expect(await runs(bed.ref('team/app:2'))).toBe('built');
  });

  test('curl | docker load exports an image that runs', async () => {
    await forget('team/app:1', 'team/app:2', bed.ref('team/app:2'));
    const { stdout } = await archives.shell('curl -sS -f "$api/export?name=team/app:1" | docker load', {
      DOCKER_HOST: engine.host,
    });
    expect(stdout).toContain('Loaded image: local/team/app:1');
    expect(await runs('local/team/app:1')).toBe('built');
  });

  test('an exported image with compressed layers is loaded under the requested name', async () => {
    const image = await busyboxImage({ marker: 'packed' });
    const layout = join(bed.folder, 'packed');
    await writeLayout(layout, '1', image);
    await bed.run('tar', '-C', layout, '-czf', `${layout}.tar.gz`, '.');
    await archives.bring(`${layout}.tar.gz`, '?image=packed');
    const file = await archives.get('name=packed:1&as=mine/packed:7', archives.file('packed-out.tar'));
    await engine.docker(['load', '--input', file]);
    expect(await runs('mine/packed:7')).toBe('packed');
  });

  test('artifactapi import and export transfer images', async () => {
    const saved = archives.file('saved.tar');
    await engine.docker(['save', '--output', saved, 'local-only/busybox:1']);
    const to = `${bed.registry.origin}/local/by-command:3`;
    const { stdout } = await archives.shell(`${command} import ${saved} --to ${to}`);
    expect(stdout).toMatch(/^local\/by-command:3 {2}sha256:[0-9a-f]{64} {2}linux\//);
    const out = archives.file('by-command.tar');
    await archives.shell(`${command} export ${to} --output ${out} --as by-command:4`);
    await engine.docker(['load', '--input', out]);
    const { stdout: listed } = await engine.docker(['images', '--quiet', 'by-command:4']);
    expect(listed.trim()).not.toBe('');
  });
});

describeClient('archives of skopeo', ['skopeo', 'curl', 'tar'], () => {
  let bed: TestBed;
  let archives: Archives;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    archives = new Archives(bed);
    registry = new RegistryHttp(bed.registry.origin);
  });
  afterAll(() => bed?.close());

  const skopeo = (...args: string[]) => bed.run('skopeo', '--insecure-policy', ...args);

  async function freshImage(name: string): Promise<{ image: Image; layout: string }> {
    const tar = await tarOfFiles({ fresh: `${name} ${Date.now()} ${process.pid}`.repeat(1000) });
    const rootfs = { type: 'layers', diff_ids: [sha256(tar)] };
    const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux', rootfs });
    const image = composeImage(config, [content(mediaTypes.ociLayerGzip, gzipSync(tar))]);
    const layout = join(bed.folder, name);
    await writeLayout(layout, '1', image);
    return { image, layout };
  }

  test('an oci-archive of skopeo is imported and exported without a changed byte', async () => {
    const { image, layout } = await freshImage('oci');
    const archive = archives.file('oci.tar');
    await skopeo('copy', '--preserve-digests', `oci:${layout}:1`, `oci-archive:${archive}:team/oci:1`);
    expect((await archives.bring(archive)).images).toMatchObject([{ image: 'team/oci', tags: ['1'] }]);
    await registry.pullImage('local/team/oci', '1', image);
    const out = await archives.get('name=team/oci:1', archives.file('oci-out.tar'));
    for (const reference of [`oci-archive:${out}`, `oci-archive:${out}:1`]) {
      const { stdout } = await skopeo('inspect', reference);
      expect(JSON.parse(stdout)).toMatchObject({ Digest: image.manifest.digest });
    }
    await skopeo('copy', '--preserve-digests', `oci-archive:${out}:1`, `oci:${layout}-back:1`);
  });

  test('a docker-archive of skopeo is imported and exported', async () => {
    const { image, layout } = await freshImage('saved');
    const archive = archives.file('docker.tar');
    await skopeo('copy', `oci:${layout}:1`, `docker-archive:${archive}:registry.example/team/saved:1`);
    expect((await archives.bring(archive)).images).toMatchObject([{ image: 'team/saved', tags: ['1'] }]);
    const ref = `docker://${bed.ref('team/saved:1')}`;
    const { stdout } = await skopeo('inspect', '--config', '--tls-verify=false', ref);
    expect(JSON.parse(stdout)).toMatchObject(JSON.parse(String(image.config.bytes)) as object);
    const out = await archives.get('name=team/saved:1', archives.file('docker-out.tar'));
    await skopeo('copy', `docker-archive:${out}:local/team/saved:1`, `dir:${layout}-back`);
  });

  test('an index is imported and exported with all its platforms', async () => {
    const [amd, arm] = [(await freshImage('amd')).image, (await freshImage('arm')).image];
    for (const { manifest } of [amd, arm]) expect(manifest.digest).toMatch(/^sha256:/);
    const images = [amd, arm];
    for (const [position, image] of images.entries()) await registry.pushImage('local/multi', `p${position}`, image);
    const manifests = images.map(({ manifest: { mediaType, digest, bytes } }, position) => ({
      mediaType,
      digest,
      size: bytes.length,
      platform: { os: 'linux', architecture: ['amd64', 'arm64'][position] },
    }));
    const index = jsonContent(mediaTypes.ociIndex, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
    await registry.putManifest('local/multi', '1', index);
    const archive = archives.file('multi.tar');
    const from = `docker://${bed.ref('multi:1')}`;
    await skopeo('copy', '--all', '--src-tls-verify=false', from, `oci-archive:${archive}:copied/multi:1`);
    expect((await archives.bring(archive)).images).toMatchObject([{ image: 'copied/multi', digest: index.digest }]);
    const out = await archives.get('name=copied/multi:1', archives.file('multi-out.tar'));
    await skopeo('copy', '--all', '--dest-tls-verify=false', `oci-archive:${out}:1`, `docker://${bed.ref('back:1')}`);
    expect(await registry.tagDigest('local/back', '1')).toBe(index.digest);
  });
});

describeClient('archives of podman', ['root', 'podman', 'conmon', 'runc', 'busybox', 'curl'], () => {
  let bed: TestBed;
  let archives: Archives;
  let podman: Awaited<ReturnType<typeof containersTool>>;

  beforeAll(async () => {
    bed = await openTestBed();
    archives = new Archives(bed);
    podman = await containersTool(bed, 'podman');
    const layout = join(bed.folder, 'layout');
    await writeLayout(layout, '1', await busyboxImage({ marker: 'by podman' }));
    const { stdout } = await podman('pull', '--quiet', 'oci:layout:1');
    await podman('tag', stdout.trim(), 'localhost/team/app:1');
  });
  afterAll(() => bed?.close());

  test.each(['docker-archive', 'oci-archive'])(
    'a podman save archive of format %s is imported, and podman load reads the export',
    async (format) => {
      const saved = archives.file(`${format}.tar`);
      await podman('save', '--format', format, '--output', saved, 'localhost/team/app:1');
      expect((await archives.bring(saved)).images).toMatchObject([{ image: 'team/app', tags: ['1'] }]);
      const out = await archives.get(
        `name=team/app:1&as=localhost/back/${format}:1`,
        archives.file(`${format}-out.tar`),
      );
      await podman('load', '--input', out);
      const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=1000:1000'];
      const { stdout } = await podman('run', '--rm', '--network=none', ...limits, `localhost/back/${format}:1`);
      expect(stdout).toBe('by podman');
    },
  );
});
