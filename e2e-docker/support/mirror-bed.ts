import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { busyboxImage, goArchitecture, tarOfFiles } from './busybox.js';
import { projectRoot } from './commands.js';
import { composeImage, content, describeContent, jsonContent, mediaTypes, sha256 } from './images.js';
import type { Content, Image } from './images.js';
import { http, mustBe, RegistryHttp } from './registry-http.js';
import { startRegistry } from './registry-server.js';
import type { RegistryServer, RegistryServerOptions } from './registry-server.js';
import { openWorkspace } from './test-bed.js';
import type { Workspace } from './test-bed.js';
import { startDistribution } from './upstreams.js';
import type { Upstream } from './upstreams.js';

/** The statistics of a cache. */
export interface CacheStatus {
  readonly counters: { readonly hit: number; readonly miss: number; readonly stale: number; readonly refresh: number };
  readonly upstream_bytes: number;
}

/** A cache in front of an upstream that plays the role of all public registries. */
export interface MirrorBed extends Workspace {
  readonly upstream: Upstream;
  readonly mirror: RegistryServer;
  /** An HTTP client of the mirror. */
  readonly mirrorHttp: RegistryHttp;
  /** An HTTP client of the upstream, to push what the tests pull. */
  readonly source: RegistryHttp;
  /** Returns the text of a file of examples/mirror, with the address of our mirror. */
  example(file: string): Promise<string>;
  /** Stops the upstream and waits until no tag is fresh any more. */
  loseUpstream(): Promise<void>;
}

const exampleHost = '127.0.0.1:5000';
const tagTtlSeconds = 1;

/**
 * Starts an upstream and, in front of it, the registry of examples/mirror/config.yaml with `more` repositories. Clients can
 * reach only this machine, because they request from the real registry what a mirror cannot serve.
 */
export async function openMirrorBed(more: (upstream: string) => readonly unknown[] = () => []): Promise<MirrorBed> {
  const nowhere = 'http://127.0.0.1:1';
  const workspace = await openWorkspace({ HTTPS_PROXY: nowhere, HTTP_PROXY: nowhere });
  try {
    const upstream = await startDistribution(join(workspace.folder, 'upstream'));
    workspace.onClose(() => upstream.stop());
    const mirror = await startCache(workspace, { config: await teamCache(upstream.origin, more(upstream.origin)) });
    const example = async (file: string): Promise<string> => {
      const text = await readExample(file);
      if (!text.includes(exampleHost)) throw new Error(`examples/mirror/${file} does not name ${exampleHost}`);
      return text.replaceAll(exampleHost, mirror.host);
    };
    const loseUpstream = async (): Promise<void> => {
      await upstream.stop();
      await sleep(tagTtlSeconds * 1000 + 200);
    };
    const source = new RegistryHttp(upstream.origin);
    const mirrorHttp = new RegistryHttp(mirror.origin);
    return { ...workspace, upstream, mirror, mirrorHttp, source, example, loseUpstream };
  } catch (error) {
    await workspace.close();
    throw error;
  }
}

function readExample(file: string): Promise<string> {
  return readFile(join(projectRoot, 'examples/mirror', file), 'utf8');
}

/** Returns the configuration of the example with our upstream, a short TTL of tags and no caching of lists. */
async function teamCache(upstream: string, more: readonly unknown[]): Promise<Record<string, unknown>> {
  const config = parse(await readExample('config.yaml')) as { repositories: { type: string }[] };
  const repositories = config.repositories.map((repository) =>
    repository.type === 'remote' ? { ...repository, url: upstream, tagTtlSeconds, listTtlSeconds: 0 } : repository,
  );
  // A host name that needs no DNS, unlike the address that all other requests use.
  return { ...config, repositories: [...repositories, ...more], hosts: { localhost: 'hub' } };
}

/** Starts a registry that stops with the workspace. */
export async function startCache(
  workspace: Workspace,
  options: RegistryServerOptions,
  folder = 'cache',
): Promise<RegistryServer> {
  const server = await startRegistry(join(workspace.folder, folder), options);
  workspace.onClose(() => server.stop());
  return server;
}

/** Returns the statistics of a remote repository. */
export async function cacheStatus(origin: string, repository: string): Promise<CacheStatus> {
  const answer = mustBe(200, await http(`${origin}/api/v1/repositories/${repository}`), 'GET repository');
  return (JSON.parse(answer.body.toString()) as { status: CacheStatus }).status;
}

/** Waits until at least so many bytes from the upstream are counted: a transfer is counted when its bytes are stored. */
export async function upstreamBytes(origin: string, repository: string, atLeast: number): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const { upstream_bytes: moved } = await cacheStatus(origin, repository);
    if (moved >= atLeast || attempt === 600) return moved;
    await sleep(100);
  }
}

/** Returns the total size of the config and the layers. */
export function blobBytes({ config, layers }: Image): number {
  return [config, ...layers].reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** Returns a name that no other image has. */
export function freshName(): string {
  return `e2e-${randomBytes(8).toString('hex')}`;
}

/** Returns an image with unique layers, because skopeo and others remember layers. `layerBytes` do not compress. */
export async function freshImage(architecture = goArchitecture(), layerBytes = 20_000): Promise<Image> {
  const tar = await tarOfFiles({ fresh: randomBytes(layerBytes).toString('base64') });
  const rootfs = { type: 'layers', diff_ids: [sha256(tar)] };
  const config = jsonContent(mediaTypes.ociConfig, { architecture, os: 'linux', rootfs });
  return composeImage(config, [content(mediaTypes.ociLayerGzip, gzipSync(tar))]);
}

export interface MultiArch {
  readonly index: Content;
  /** The platform of this machine. */
  readonly own: Image;
  /** Platforms that no test machine has. */
  readonly others: readonly Image[];
}

/** Pushes an index of three platforms under a tag. The one in the middle is this machine's and runs. */
export async function pushMultiArch(registry: RegistryHttp, name: string, tag: string): Promise<MultiArch> {
  const own = await busyboxImage({ marker: `own ${freshName()}` });
  const others = [await freshImage('s390x'), await freshImage('riscv64')];
  const [first, last] = others;
  const rows: [string, Image | undefined][] = [
    ['s390x', first],
    [goArchitecture(), own],
    ['riscv64', last],
  ];
  const manifests: object[] = [];
  for (const [architecture, image] of rows) {
    if (image === undefined) continue;
    await registry.pushImage(name, `${tag}-${architecture}`, image);
    manifests.push({ ...describeContent(image.manifest), platform: { os: 'linux', architecture } });
  }
  const index = jsonContent(mediaTypes.ociIndex, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  await registry.putManifest(name, tag, index);
  return { index, own, others };
}
