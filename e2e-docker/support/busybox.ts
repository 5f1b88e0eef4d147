import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { findTool, run } from './commands.js';
import { composeImage, content, describeContent, jsonContent, mediaTypes, sha256 } from './images.js';
import type { Image } from './images.js';

/** The text that `cat /marker` prints in a container whose image is complete. */
const markerPath = 'marker';

/** Returns a tar of a root folder with a static busybox and the commands that the tests call. */
export async function busyboxTar(): Promise<Buffer> {
  const busybox = findTool('busybox');
  if (busybox === undefined) throw new Error('busybox is not installed');
  return tarOfFolder(async (root) => {
    await mkdir(join(root, 'bin'));
    await mkdir(join(root, 'tmp'));
    await copyFile(busybox, join(root, 'bin/busybox'));
    for (const command of ['sh', 'cat', 'echo', 'ls']) await symlink('busybox', join(root, 'bin', command));
  });
}

/** Returns a tar of the files, by path. */
export function tarOfFiles(files: Readonly<Record<string, string>>): Promise<Buffer> {
  return tarOfFolder(async (root) => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
  });
}

/** Sorts names and fixes times and owners, so that the same files always have the same digest. */
async function tarOfFolder(fill: (root: string) => Promise<void>): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'e2e-tar-'));
  try {
    const root = join(folder, 'root');
    const file = join(folder, 'layer.tar');
    await mkdir(root);
    await fill(root);
    const fixed = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
    await run('tar', [...fixed, '-C', root, '-cf', file, '.']);
    return await readFile(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface BusyboxOptions {
  /** The text of /marker. */
  readonly marker: string;
  /** @default the architecture of the machine */
  readonly architecture?: string;
  /** The text of `/large`, which makes the layer of the marker large. @default no such file */
  readonly large?: string;
}

/** Returns a runnable OCI image: busybox, and a layer with /marker. */
export async function busyboxImage(options: BusyboxOptions): Promise<Image> {
  const { marker, architecture = goArchitecture(), large } = options;
  const files = { [markerPath]: marker, ...(large === undefined ? {} : { large }) };
  const tars = [await busyboxTar(), await tarOfFiles(files)];
  const config = jsonContent(mediaTypes.ociConfig, {
    created: '1970-01-01T00:00:00Z',
    architecture,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/cat', `/${markerPath}`] },
    rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
  });
  return composeImage(
    config,
    tars.map((tar) => content(mediaTypes.ociLayerGzip, gzipSync(tar))),
  );
}

/** The architecture of the machine, by its name in image configs. */
export function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

/** Writes the image as an OCI image layout, which skopeo, podman, buildah and crane read, under one tag. */
export async function writeLayout(folder: string, tag: string, image: Image): Promise<void> {
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
  for (const { digest, bytes } of [image.manifest, image.config, ...image.layers]) {
    await writeFile(join(folder, 'blobs', digest.replace(':', '/')), bytes);
  }
  const entry = {
    ...describeContent(image.manifest),
    annotations: { 'org.opencontainers.image.ref.name': tag },
  };
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] };
  await writeFile(join(folder, 'index.json'), JSON.stringify(index));
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}
