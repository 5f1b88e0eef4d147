import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage, busyboxTar, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { projectRoot } from './support/commands.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { composeImage, content, describeContent, jsonContent, mediaTypes, sha256 } from './support/images.js';
import type { Content, Image } from './support/images.js';
import { RegistryHttp, mustBe } from './support/registry-http.js';
import { startRegistry } from './support/registry-server.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';
import { startDistribution } from './support/upstreams.js';

const cli = join(projectRoot, 'dist/command/cli.js');
const needs = ['root', 'docker', 'dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip', 'busybox', 'skopeo'];
const killAtLink = pathToFileURL(join(projectRoot, 'e2e-docker/support/kill-at-link.mjs')).href;
/** Enough to kill an import in the middle. */
const manyImages = 120;

/** Everything that an API says about its images: digests and bytes of manifests by `name:tag` and `name@digest`. */
type Snapshot = ReadonlyMap<string, string>;

describeClient('import-registry', [...needs, 'docker-registry', 'registry'], () => {
  let bed: Workspace;
  let engine: DockerEngine;
  beforeAll(async () => {
    bed = await openWorkspace();
    engine = await startDockerEngine(bed);
    const tar = join(bed.folder, 'busybox.tar');
    await writeFile(tar, await busyboxTar());
    await engine.docker(['import', '--change', 'CMD ["/bin/sh"]', tar, 'local-only/busybox:1']);
  });
  afterAll(async () => {
    await engine?.stop();
    await bed?.close();
  });

  describe.each(['docker-registry', 'registry'])('of a folder that %s wrote', (program) => {
    let folder: string;
    let old: string;
    let data: string;
    let untagged: readonly string[];
    let before: Snapshot;
    let image: Image;

    beforeAll(async () => {
      folder = join(bed.folder, program);
      old = join(folder, 'distribution');
      data = join(folder, 'data');
      const upstream = await startDistribution(folder, { program });
      const api = new RegistryHttp(upstream.origin);
      const host = new URL(upstream.origin).host;
      image = await busyboxImage({ marker: `skopeo pushed to ${program}` });
      await pushWithSkopeo(host);
      untagged = [await pushWithDocker(api, host)];
      for (let i = 0; i < manyImages; i++) await api.pushImage(`many/app${i % 10}`, `t${i}`, tinyImage(i));
      before = await snapshot(api, '', untagged);
      await upstream.stop();
      // The import needs a data folder with the repository.
      await (await startRegistry(folder)).stop();
    }, 120_000);

    /** Pushes an image under two names, and an index of two platforms. */
    async function pushWithSkopeo(host: string): Promise<void> {
      const layout = join(folder, 'layout');
      const index = join(folder, 'index');
      await writeLayout(layout, '1', image);
      await writeIndexLayout(index, [image, await busyboxImage({ marker: 'other', architecture: 'riscv64' })]);
      const copy = (from: string, to: string) =>
        bed.run(
          'skopeo',
          '--insecure-policy',
          'copy',
          '--all',
          '--preserve-digests',
          '--dest-tls-verify=false',
          from,
          to,
        );
      await copy(`oci:${layout}:1`, `docker://${host}/team/skopeo:1`);
      await copy(`oci:${layout}:1`, `docker://${host}/top:latest`);
      await copy(`oci:${index}`, `docker://${host}/team/skopeo:platforms`);
    }

    /** Pushes two images under one tag. Returns the first one, which has no tag any more. */
    async function pushWithDocker(api: RegistryHttp, host: string): Promise<string> {
      const ref = `${host}/team/docker:latest`;
      await engine.docker(['tag', 'local-only/busybox:1', ref]);
      await engine.docker(['push', ref]);
      const first = await api.tagDigest('team/docker', 'latest');
      const context = join(folder, 'context');
      await mkdir(context);
      await writeFile(join(context, 'Dockerfile'), `FROM local-only/busybox:1\nCMD ["echo", "built for ${program}"]\n`);
      await engine.docker(['build', '--tag', ref, context]);
      await engine.docker(['push', ref]);
      await engine.docker(['rmi', '--force', ref]);
      return `team/docker@${first}`;
    }

    async function importing(flags: readonly string[] = [], environment: NodeJS.ProcessEnv = {}) {
      const args = [cli, 'import-registry', old, '--into', 'local', '--data', data, '--json', ...flags];
      const env = { ...process.env, ...environment };
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, output };
    }

    const blobFiles = async (): Promise<string[]> =>
      (await readdir(join(data, 'blobs'), { recursive: true })).filter((name) => /[0-9a-f]{64}$/.test(name));

    test('a dry run writes nothing', async () => {
      const source = await describeFiles(old);
      const { code, output } = await importing(['--dry-run']);
      expect([code, JSON.parse(output)]).toMatchObject([0, { dry_run: true, moves: 1, problems: [] }]);
      expect(await blobFiles()).toEqual([]);
      expect(await describeFiles(old)).toEqual(source);
    });

    test('an import is killed in the middle, and the next one completes it', async () => {
      const killed = importing([], { NODE_OPTIONS: `--import=${killAtLink}`, KILL_AT_LINK: '60' });
      expect((await killed).code).toBeNull();
      const killedAt = (await blobFiles()).length;
      expect(killedAt).toBeGreaterThan(0);
      const { code, output } = await importing();
      const report = JSON.parse(output) as { blobs: { added: number; copied: number } };
      expect([code, report]).toMatchObject([0, { problems: [], blobs: { copied: 0 } }]);
      expect(report.blobs.added + killedAt).toBe((await blobFiles()).length);
      expect(await readdir(join(data, 'staged'))).toEqual([]);
    });

    test('all bytes are files of the old folder: one inode with two names', async () => {
      const root = join(old, 'docker/registry/v2/blobs/sha256');
      for (const name of await blobFiles()) {
        const [prefix = '', hex = ''] = name.split('/').slice(1);
        const [theirs, ours] = [await stat(join(root, prefix, hex, 'data')), await stat(join(data, 'blobs', name))];
        expect([ours.ino, ours.nlink]).toEqual([theirs.ino, 2]);
      }
    });

    test('both APIs have the same tags, digests and bytes, and clients pull the images', async () => {
      const server = await startRegistry(folder);
      try {
        const api = new RegistryHttp(server.origin);
        expect(await snapshot(api, 'local/', untagged)).toEqual(before);
        await api.pullImage('local/team/skopeo', '1', image);
        await api.pullImage('local/top', 'latest', image);
        const ref = `${server.host}/local/team/docker:latest`;
        await engine.docker(['pull', ref]);
        const { stdout } = await engine.docker(['run', '--rm', '--network=none', ref]);
        expect(stdout.trim()).toBe(`built for ${program}`);
        const target = join(folder, 'pulled');
        const from = `docker://${server.host}/local/team/skopeo:platforms`;
        await bed.run('skopeo', '--insecure-policy', 'copy', '--all', '--src-tls-verify=false', from, `oci:${target}`);
        expect(existsSync(join(target, 'blobs', image.manifest.digest.replace(':', '/')))).toBe(true);
      } finally {
        await server.stop();
      }
    });

    test('another import adds nothing', async () => {
      const { code, output } = await importing(['--verify']);
      expect([code, JSON.parse(output)]).toMatchObject([
        0,
        { manifests: { added: 0 }, tags: { added: 0 }, blobs: { added: 0 } },
      ]);
    });
  });
});

/** An image of two small blobs, which no other image has. */
function tinyImage(label: number): Image {
  const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux', label });
  return composeImage(config, [content(mediaTypes.ociLayerGzip, Buffer.from(`layer ${label}`))]);
}

async function writeIndexLayout(folder: string, images: readonly Image[]): Promise<void> {
  const manifests = images.map(({ manifest }, i) => ({
    ...describeContent(manifest),
    platform: { os: 'linux', architecture: i === 0 ? 'amd64' : 'riscv64' },
  }));
  const index = jsonContent(mediaTypes.ociIndex, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  const contents: Content[] = [
    index,
    ...images.flatMap(({ manifest, config, layers }) => [manifest, config, ...layers]),
  ];
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
  for (const { digest, bytes } of contents) await writeFile(join(folder, 'blobs', digest.replace(':', '/')), bytes);
  await writeFile(
    join(folder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [describeContent(index)] }),
  );
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

const accept = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
].join();

/** Reads all tags of the catalog, and some untagged manifests, through the API; names lose the prefix. */
async function snapshot(api: RegistryHttp, prefix: string, untagged: readonly string[]): Promise<Snapshot> {
  const found = new Map<string, string>();
  const get = async (path: string): Promise<Buffer> =>
    mustBe(200, await api.send(path, { headers: { accept } }), `GET ${path}`).body;
  const parse = async <T>(path: string): Promise<T> => JSON.parse((await get(path)).toString()) as T;
  const { repositories } = await parse<{ repositories: string[] }>('/v2/_catalog?n=1000');
  for (const name of repositories) {
    const { tags } = await parse<{ tags: string[] }>(`/v2/${name}/tags/list`);
    const short = name.slice(prefix.length);
    for (const tag of tags) {
      const bytes = await get(`/v2/${name}/manifests/${tag}`);
      expect(await api.tagDigest(name, tag)).toBe(sha256(bytes));
      found.set(`${short}:${tag}`, bytes.toString());
    }
  }
  for (const ref of untagged) found.set(ref, (await get(`/v2/${prefix}${ref.replace('@', '/manifests/')}`)).toString());
  return found;
}

async function describeFiles(root: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const { ino, nlink, mtimeMs } = await stat(file);
    files[file] = `${sha256(await readFile(file))} ${ino} ${nlink} ${mtimeMs}`;
  }
  return files;
}
