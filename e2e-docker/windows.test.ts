import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { hash } from 'bcryptjs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { composeImage, content, jsonContent, mediaTypes, sha256 } from './support/images.js';
import type { Content, Image } from './support/images.js';
import { seededRandom } from './support/random.js';
import { header, mustBe, RegistryHttp } from './support/registry-http.js';
import { createTempDir } from './support/temp-dir.js';
import type { TempDir } from './support/temp-dir.js';
import { openWine, wineNeeds, type Wine, type WineRegistry } from './support/wine.js';

/** Larger than the system's buffers between a server and a client that stops reading. */
const largeBytes = 32 * 1024 * 1024;

const settings = {
  storage: '.\\daten größe',
  garbageCollection: { graceSeconds: 0 },
  repositories: [{ name: 'local', type: 'local', trashSeconds: 0 }],
};

/** Starts a download of a blob, which stays open until `finish`. */
async function startDownload(url: string, file: string): Promise<{ finish(): Promise<Buffer> }> {
  const { statusCode, body } = await request(url);
  expect(statusCode).toBe(200);
  expect(await isOpenAnywhere(file)).toBe(true);
  return { finish: async () => Buffer.from(await body.arrayBuffer()) };
}

/** Returns whether any process has the file open. */
async function isOpenAnywhere(file: string): Promise<boolean> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === file) return true;
    }
  }
  return false;
}

describeClient('Node for Windows under Wine', wineNeeds, () => {
  const random = seededRandom(14);
  const layer = content(mediaTypes.ociLayerGzip, random.bytes(largeBytes));
  const image: Image = composeImage(jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'windows' }), [
    layer,
  ]);
  const name = 'local/team/app';
  const blobUrl = `/v2/${name}/blobs/${layer.digest}`;
  let dir: TempDir;
  let wine: Wine;
  let server: WineRegistry;
  let registry: RegistryHttp;

  beforeAll(async () => {
    dir = await createTempDir();
    wine = await openWine(dir.path);
    await mkdir(join(dir.path, 'config'));
    await writeFile(join(dir.path, 'config/registry.yaml'), JSON.stringify(settings));
    await start('first');
  }, 240_000);
  afterAll(async () => {
    await wine?.close();
    await dir?.release();
  });

  /** Starts a server with data in `config/daten größe`, configured by a relative path with a backslash. */
  async function start(log: string): Promise<void> {
    server = await wine.serve(log, '--config', wine.windowsPath(join(dir.path, 'config/registry.yaml')));
    registry = new RegistryHttp(server.origin);
  }

  const blobFile = ({ digest }: Content): string => {
    const hex = digest.slice('sha256:'.length);
    return join(dir.path, 'config/daten größe/blobs/sha256', hex.slice(0, 2), hex);
  };

  /** Pushes a blob without a HEAD first. */
  async function pushAgain(blob: Content): Promise<void> {
    await registry.completeUpload(await registry.startUpload(name), blob.digest, blob.bytes);
  }

  test('pushes and pulls the same bytes, with a data folder relative to the config file', async () => {
    await registry.pushImage(name, '1', image);
    await registry.pullImage(name, '1', image);
    expect(sha256(await readFile(blobFile(layer)))).toBe(layer.digest);
  });

  test('serves a range of a blob', async () => {
    const headers = { range: 'bytes=1000-1999' };
    const part = mustBe(206, await registry.send(blobUrl, { headers }), 'GET range');
    expect(part.body).toEqual(layer.bytes.subarray(1000, 2000));
  });

  test('accepts a push of a blob that is being downloaded', async () => {
    const download = await startDownload(server.origin + blobUrl, blobFile(layer));
    await pushAgain(layer);
    expect(sha256(await download.finish())).toBe(layer.digest);
    await registry.pullImage(name, '1', image);
  });

  test('repairs a damaged blob by a push while it is being downloaded', async () => {
    const download = await startDownload(server.origin + blobUrl, blobFile(layer));
    const file = await open(blobFile(layer), 'r+');
    await file.write('damage', largeBytes - 100);
    await file.close();
    await pushAgain(layer);
    expect(await download.finish()).toHaveLength(largeBytes);
    expect(sha256(await readFile(blobFile(layer)))).toBe(layer.digest);
    await registry.pullImage(name, '1', image);
  });

  test('deletes and collects a blob that is being downloaded, and accepts a new push at once', async () => {
    const download = await startDownload(server.origin + blobUrl, blobFile(layer));
    const manifest = `/v2/${name}/manifests/${image.manifest.digest}`;
    mustBe(202, await registry.send(manifest, { method: 'DELETE' }), 'DELETE manifest');
    const collected = mustBe(200, await registry.send('/api/v1/gc', { method: 'POST' }), 'POST gc');
    expect(JSON.parse(collected.body.toString())).toMatchObject({ blobs_deleted: 3 });
    expect(existsSync(blobFile(layer))).toBe(false);
    mustBe(404, await registry.send(blobUrl, { method: 'HEAD' }), 'HEAD blob');
    await registry.pushImage(name, '1', image);
    expect(sha256(await download.finish())).toBe(layer.digest);
    await registry.pullImage(name, '1', image);
  });

  test('resumes an upload after the process was killed', async () => {
    const blob = content(mediaTypes.ociLayerGzip, random.bytes(300_000));
    const location = await registry.startUpload(name);
    const patched = await registry.send(location, { method: 'PATCH', body: blob.bytes.subarray(0, 100_000) });
    const path = new URL(header(mustBe(202, patched, 'PATCH upload'), 'location'), server.origin);
    await server.kill();
    await start('killed');
    await registry.pullImage(name, '1', image);
    await registry.completeUpload(path.pathname + path.search, blob.digest, blob.bytes.subarray(100_000));
    expect(sha256((await registry.send(`/v2/${name}/blobs/${blob.digest}`)).body)).toBe(blob.digest);
  });

  test('stops gracefully on Ctrl+C, and keeps its content over a restart', async () => {
    const index = join(dir.path, 'config/daten größe/index');
    expect(existsSync(join(index, 'owner.json'))).toBe(true);
    await server.stop();
    expect(server.output()).toContain('"msg":"stopped"');
    expect(existsSync(join(index, 'owner.json'))).toBe(false);
    await start('stopped');
    await registry.pullImage(name, '1', image);
  });

  test('refuses to start a second server on the same folder', async () => {
    const second = wine.serve('second', '--data', wine.windowsPath(join(dir.path, 'config/daten größe')));
    await expect(second).rejects.toThrow(/another process has .* open/);
    await registry.pullImage(name, '1', image);
  });

  test('exports over an existing file, and imports it', async () => {
    const tar = join(dir.path, 'app.tar');
    await writeFile(tar, 'an older one');
    await wine.command('export', `${server.origin}/${name}:1`, '-o', wine.windowsPath(tar));
    await wine.command('import', wine.windowsPath(tar), '--to', `${server.origin}/local/copy:1`);
    await registry.pullImage('local/copy', '1', image);
  });

  test('works with a data folder on drive C and a password file', async () => {
    await server.stop();
    await mkdir(join(wine.driveC, 'registry'));
    await writeFile(join(wine.driveC, 'registry/users'), `ana:${await hash('secret', 4)}\r\n`);
    const access = { htpasswd: '.\\users', rules: [{ users: ['ana'], allow: ['pull', 'push'] }] };
    await writeFile(join(wine.driveC, 'registry/config.yaml'), JSON.stringify({ access }).replaceAll(',', ',\r\n'));
    server = await wine.serve('drive-c', '--config', 'C:\\registry\\config.yaml', '--data', 'C:\\registry\\data');
    const authorization = `Basic ${Buffer.from('ana:secret').toString('base64')}`;
    const ana = new RegistryHttp(server.origin, undefined, { authorization });
    await ana.pushImage(name, '1', image);
    mustBe(401, await new RegistryHttp(server.origin).send(blobUrl), 'GET blob without a login');
    await ana.pullImage(name, '1', image);
    expect(existsSync(join(wine.driveC, 'registry/data/VERSION'))).toBe(true);
  });
});
