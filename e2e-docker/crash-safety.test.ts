import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { composeImage, content, jsonContent, mediaTypes, sha256 } from './support/images.js';
import type { Content, Image } from './support/images.js';
import { seededRandom } from './support/random.js';
import type { SeededRandom } from './support/random.js';
import { RegistryHttp, header, mustBe } from './support/registry-http.js';
import { startRegistry } from './support/registry-server.js';
import type { RegistryServer } from './support/registry-server.js';
import { createTempDir } from './support/temp-dir.js';
import type { TempDir } from './support/temp-dir.js';

const rounds = 20;
const clientNames = ['local/client-0/app', 'local/client-1/app', 'local/client-2/app', 'local/client-3/app'];
const latest = 'latest';

interface PushedImage {
  readonly name: string;
  readonly tag: string;
  readonly image: Image;
}

/** A client, across all restarts of the server. Each of its pushes moves `latest`. */
interface Client {
  readonly name: string;
  /** Each client has its own, so that its pushes do not depend on the order of the clients. */
  readonly random: SeededRandom;
  pushed: number;
  /** The last acknowledged digest of `latest`, and the one that was being pushed when the server died. */
  latestAcknowledged: string | undefined;
  latestAttempted: string | undefined;
}

interface InterruptedUpload {
  readonly location: string;
  readonly bytes: Buffer;
  /** The number of bytes that a 202 has acknowledged. */
  readonly acknowledgedBytes: number;
}

const uploadName = 'local/interrupted';

describe('kill -9 during pushes', () => {
  const random = seededRandom(3);
  // A layer that all images share, like a base image: all clients push it at the same time, later they find it by HEAD.
  const sharedLayer = content(mediaTypes.ociLayerGzip, random.bytes(100_000));
  /** In the order of their acknowledgement. */
  const acknowledged: PushedImage[] = [];
  const clients: Client[] = clientNames.map((name, position) => ({
    name,
    random: seededRandom(100 + position),
    pushed: 0,
    latestAcknowledged: undefined,
    latestAttempted: undefined,
  }));
  let dir: TempDir;
  let server: RegistryServer | undefined;
  let pool: Agent;
  let upload: InterruptedUpload | undefined;

  beforeAll(async () => {
    dir = await createTempDir();
  });
  afterAll(async () => {
    await server?.kill();
    await pool?.destroy();
    await dir?.release();
  });

  async function restart(): Promise<RegistryHttp> {
    await server?.kill();
    await pool?.destroy();
    // A new pool for each start: no request of the last server may wait in it for the next.
    pool = new Agent();
    server = await startRegistry(dir.path);
    return new RegistryHttp(server.origin, pool);
  }

  /** Lets the clients push until the server is killed, some time after the first acknowledged image. */
  async function pushUntilKilled(registry: RegistryHttp, delayMs: number): Promise<void> {
    const interrupted = await startInterruptedUpload(registry, random);
    upload = interrupted;
    const before = acknowledged.length;
    await Promise.all([
      ...clients.map((client) => pushWithoutEnd(registry, client, sharedLayer, acknowledged)),
      sendRestSlowly(registry, interrupted),
      killAfterFirstPush(before, delayMs),
    ]);
    expect(acknowledged.length, 'no push was acknowledged').toBeGreaterThan(before);
  }

  async function killAfterFirstPush(before: number, delayMs: number): Promise<void> {
    const deadline = Date.now() + 60_000;
    while (acknowledged.length === before && Date.now() < deadline) await sleep(1);
    await sleep(delayMs);
    await server?.kill();
  }

  test(`acknowledged content survives ${rounds} kills, and uploads can be resumed`, async () => {
    let verified = 0;
    for (let round = 0; round < rounds; round++) {
      const registry = await restart();
      await verifyImages(registry, acknowledged.slice(verified));
      await verifyLatest(registry, clients);
      if (upload !== undefined) await finishUpload(registry, upload);
      verified = acknowledged.length;
      await pushUntilKilled(registry, random.below(300));
    }
  });

  test('every image of every round can be pulled after the last kill', async () => {
    const registry = await restart();
    await verifyImages(registry, acknowledged);
    await verifyLatest(registry, clients);
    if (upload !== undefined) await finishUpload(registry, upload);
    await server?.stop();
    // A graceful stop must not lose content either.
    await verifyImages(await restart(), acknowledged.slice(-20));
  });
});

function randomImage(random: SeededRandom, sharedLayer: Content): Image {
  const own = [random.bytes(1 + random.below(60_000)), random.bytes(1 + random.below(4_000))];
  const layers = [sharedLayer, ...own.map((bytes) => content(mediaTypes.ociLayerGzip, bytes))];
  return composeImage(jsonContent(mediaTypes.ociConfig, { created: random.below(1e9), os: 'linux' }), layers);
}

/** Pushes image after image, each under its own tag and under `latest`, until the server is gone. */
async function pushWithoutEnd(
  registry: RegistryHttp,
  client: Client,
  sharedLayer: Content,
  acknowledged: PushedImage[],
): Promise<void> {
  const { name } = client;
  try {
    for (;;) {
      const image = randomImage(client.random, sharedLayer);
      const tag = `v${client.pushed}`;
      await registry.pushImage(name, tag, image);
      client.pushed++;
      acknowledged.push({ name, tag, image });
      client.latestAttempted = image.manifest.digest;
      await registry.putManifest(name, latest, image.manifest);
      client.latestAcknowledged = image.manifest.digest;
    }
  } catch (error) {
    rethrowUnlessCut(error);
  }
}

/** Ignores broken connections, which the test causes. Rethrows everything else: the server must not refuse a valid push. */
function rethrowUnlessCut(error: unknown): void {
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && /^(ECONN|EPIPE|UND_ERR_(SOCKET|DESTROYED|CLOSED))/.test(code)) return;
  throw error;
}

async function verifyImages(registry: RegistryHttp, images: readonly PushedImage[]): Promise<void> {
  for (const { name, tag, image } of images) {
    await registry.pullImage(name, tag, image);
    await registry.pullImage(name, image.manifest.digest, image);
  }
}

/** Checks that the tag is at its last acknowledged image or at the next one, whose answer may have been lost. */
async function verifyLatest(registry: RegistryHttp, clients: readonly Client[]): Promise<void> {
  for (const client of clients) {
    const found = await registry.tagDigest(client.name, latest);
    expect([client.latestAcknowledged, client.latestAttempted]).toContain(found);
    // An image that is visible after a restart counts as acknowledged: the tag must not move back.
    client.latestAcknowledged = found;
    client.latestAttempted = found;
  }
}

async function startInterruptedUpload(registry: RegistryHttp, random: SeededRandom): Promise<InterruptedUpload> {
  const bytes = random.bytes(1_000_000);
  const acknowledgedBytes = 64_000;
  const started = await registry.startUpload(uploadName);
  const first = await registry.send(started, { method: 'PATCH', body: bytes.subarray(0, acknowledgedBytes) });
  return { location: header(mustBe(202, first, 'PATCH'), 'location'), bytes, acknowledgedBytes };
}

/** So slow that the kill always comes during the upload. */
async function sendRestSlowly(registry: RegistryHttp, upload: InterruptedUpload): Promise<void> {
  async function* rest(): AsyncGenerator<Buffer> {
    for (let offset = upload.acknowledgedBytes; offset < upload.bytes.length; offset += 1_000) {
      yield upload.bytes.subarray(offset, offset + 1_000);
      await sleep(15);
    }
  }
  try {
    await registry.send(upload.location, { method: 'PATCH', body: Readable.from(rest()) });
  } catch (error) {
    return rethrowUnlessCut(error);
  }
  throw new Error('the slow upload ended before the server was killed');
}

/** Asks the restarted server for the progress of the upload, and resumes it. */
async function finishUpload(registry: RegistryHttp, { location, bytes, acknowledgedBytes }: InterruptedUpload) {
  const status = mustBe(204, await registry.send(location), 'GET upload after the restart');
  const received = Number(/^0-(\d+)$/.exec(header(status, 'range'))?.[1]) + 1;
  expect(received).toBeGreaterThanOrEqual(acknowledgedBytes);
  expect(received).toBeLessThan(bytes.length);

  const rest = bytes.subarray(received);
  const headers = {
    'content-range': `${received}-${bytes.length - 1}`,
    'content-type': 'application/octet-stream',
  };
  const patched = await registry.send(header(status, 'location'), { method: 'PATCH', headers, body: rest });
  expect(header(mustBe(202, patched, 'PATCH after the restart'), 'range')).toBe(`0-${bytes.length - 1}`);
  const digest = sha256(bytes);
  await registry.completeUpload(header(patched, 'location'), digest);
  const pulled = mustBe(200, await registry.send(`/v2/${uploadName}/blobs/${digest}`), 'GET resumed blob');
  expect(sha256(pulled.body)).toBe(digest);
}
