import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Answer, Client } from '../../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  indexManifest,
  manifestOf,
  pushBlob,
  types,
  type Manifest,
} from '../../support/content/content.js';
import { scratchFolder, startExample, type RunningExample } from '../../support/servers/examples.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const pathOf = (name: string, reference: string): string => `/v2/${name}/manifests/${reference}`;
const put = (client: Client, name: string, reference: string, { type, bytes }: Manifest): Promise<Answer> =>
  client.put(pathOf(name, reference), { headers: { 'Content-Type': type }, body: bytes });

describe('examples/required-labels', () => {
  const name = 'docker-internal/team/app';
  const label = 'org.opencontainers.image.source';
  const labelled = { [label]: 'https://git.example/app' };
  const layer = Buffer.from('a layer');

  interface Parts {
    readonly config?: unknown;
    readonly configType?: string;
    readonly layerType?: string;
    readonly more?: object;
  }

  /** Pushes the blobs of an image and returns its manifest. */
  async function prepare(client: Client, parts: Parts): Promise<Manifest> {
    const { config = {}, configType = types.ociConfig, layerType = types.ociLayer, more } = parts;
    const bytes = Buffer.from(typeof config === 'string' ? config : JSON.stringify(config));
    await pushBlob(client, name, bytes);
    await pushBlob(client, name, layer);
    const layers = [describeBytes(layerType, layer)];
    return manifestOf(types.ociImage, { config: describeBytes(configType, bytes), layers, ...more });
  }

  const withLabel: Parts = { config: { config: { Labels: labelled } } };
  const shared = new Cleanups();
  let running: Client;
  beforeAll(async () => void ({ client: running } = await startExample(shared, 'required-labels')));
  afterAll(() => shared.run());

  const without: Parts = { config: { config: { Labels: { other: 'x' } } } };
  const inToto = 'application/vnd.in-toto+json';

  it.each<[string, number, Parts]>([
    ['with the label in its config', 201, withLabel],
    ['with the label as an annotation', 201, { more: { annotations: labelled } }],
    ['with another label', 403, without],
    ['with an empty label', 403, { config: { config: { Labels: { [label]: '' } } } }],
    ['with a config that is null', 403, { config: null }],
    ['with a config that is not JSON', 403, { config: 'not JSON' }],
    ['that is a chart without the annotation', 403, { configType: 'application/vnd.cncf.helm.config.v1+json' }],
    ['that is an attestation', 201, { layerType: inToto }],
    ['that is a signature', 201, { layerType: 'application/vnd.dev.cosign.simplesigning.v1+json' }],
  ])('answers the push of a manifest %s with %i', async (_what, status, parts) => {
    const answer = await put(running, name, 'v1', await prepare(running, parts));
    expect(answer.status, answer.body.toString()).toBe(status);
    if (status === 403) expect(answer.body.toString()).toContain(`team/app needs the label ${label}`);
  });

  it('checks every platform of an index, also those that were stored before', async () => {
    const data = { DATA: `${await scratchFolder(cleanups)}/data` };
    const before = await startExample(cleanups, 'required-labels', { ...data, LABEL: 'other' });
    const old = await prepare(before.client, without);
    expect((await put(before.client, name, old.digest, old)).status).toBe(201);
    await before.client.close();
    await before.command.stop();

    const { client, command } = await startExample(cleanups, 'required-labels', data);
    const [good, attestation] = [await prepare(client, withLabel), await prepare(client, { layerType: inToto })];
    for (const child of [good, attestation]) expect((await put(client, name, child.digest, child)).status).toBe(201);
    const amd64 = { ...describeManifest(good), platform: { os: 'linux', architecture: 'amd64' } };
    const arm64 = { ...describeManifest(old), platform: { os: 'linux', architecture: 'arm64' } };
    const disguise = { 'vnd.docker.reference.type': 'attestation-manifest' };
    const described = { ...describeManifest(attestation), annotations: disguise };
    for (const [tag, status, children] of [
      ['good', 201, [amd64, described]],
      ['bad', 403, [amd64, arm64]],
      ['disguised', 403, [amd64, { ...arm64, annotations: disguise }]],
      ['missing', 403, [describeManifest(indexManifest([arm64]))]],
    ] as const) {
      const answer = await put(client, name, tag, indexManifest(children, { annotations: labelled }));
      expect([tag, answer.status, answer.body.toString()]).toEqual([
        tag,
        status,
        status === 201 ? '' : expect.stringContaining('needs the label'),
      ]);
    }
    expect((await put(client, name, 'bad', indexManifest([arm64]))).body.toString()).toContain('linux/arm64 needs');
    await client.close();
    expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('examples/cooling-off', () => {
  const name = 'hub/library/alpine';
  const tag = `${name}:latest`;
  const day = 24 * 60 * 60 * 1000;

  interface CoolingScene {
    readonly state: string;
    readonly start: () => Promise<RunningExample>;
    /** Moves the tag at the upstream, and returns its new digest. */
    readonly move: (to: string) => string;
  }

  async function openScene(): Promise<CoolingScene> {
    const hub = await startFaultUpstream();
    cleanups.add(() => hub.close());
    const folder = await scratchFolder(cleanups);
    const state = path.join(folder, 'cooling-off.json');
    const env = { DATA: path.join(folder, 'data'), HUB_URL: hub.url, APPROVAL_TOKEN: 'a-secret' };
    const move = (to: string): string => hub.images.addImage('library/alpine', 'latest', [1000], to).manifest.digest;
    return { state, move, start: () => startExample(cleanups, 'cooling-off', env) };
  }

  /** Returns the digest that a pull gets, after the cache has asked the upstream again. */
  async function pull(client: Client): Promise<string> {
    const purged = await client.delete('/api/v1/repositories/hub/cache?image=library/alpine&tag=latest');
    expect(purged.status, purged.body.toString()).toBe(200);
    const [head, got] = [await client.head(pathOf(name, 'latest')), await client.get(pathOf(name, 'latest'))];
    expect([head.status, got.status, head.header('etag')]).toEqual([200, 200, got.header('etag')]);
    return got.header('docker-content-digest');
  }

  const approve = (client: Client, body: string, token = 'a-secret'): Promise<Answer> =>
    client.post('/approvals', { headers: { Authorization: `Bearer ${token}` }, body });

  async function stop({ client, command }: RunningExample): Promise<void> {
    await client.close();
    expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
  }

  it('serves the previous image until the new one is approved, by digest at once', async () => {
    const { move, start } = await openScene();
    const running = await start();
    const { client } = running;
    const first = move('first');
    expect(await pull(client)).toBe(first);
    expect((await client.get('/waiting')).json()).toEqual({});
    const second = move('second');
    expect(await pull(client)).toBe(first);
    expect((await client.get(pathOf(name, second))).status).toBe(200);
    const waiting = (await client.get('/waiting')).json();
    expect(waiting).toEqual({ [tag]: { served: first, next: second, seen: expect.any(String) } });

    const approval = JSON.stringify({ name: tag, digest: second });
    expect((await approve(client, approval, 'wrong')).status).toBe(401);
    for (const body of ['', 'null', '{}', JSON.stringify({ name: tag, digest: first })]) {
      expect([body, (await approve(client, body)).status]).toEqual([body, 404]);
    }
    expect(await pull(client)).toBe(first);
    expect((await approve(client, approval)).status).toBe(200);
    expect(await pull(client)).toBe(second);
    expect((await client.get('/waiting')).json()).toEqual({});
    expect((await client.get('/elsewhere')).status).toBe(404);
    await stop(running);
  });

  it.each([
    ['serves the new image once it is 7 days old', 7 * day + 60_000, 'second'],
    ['waits while it is younger', 7 * day - 3_600_000, 'first'],
    ['waits when its time cannot be read', undefined, 'first'],
  ] as const)('%s, also after a restart', async (_title, ageMs, expected) => {
    const { move, start, state } = await openScene();
    const before = await start();
    const digests = { first: move('first'), second: '' };
    await pull(before.client);
    digests.second = move('second');
    expect(await pull(before.client)).toBe(digests.first);
    await stop(before);
    const saved = JSON.parse(await readFile(state, 'utf8')) as Record<string, { seen: string }>;
    const seen = ageMs === undefined ? 'last week' : new Date(Date.now() - ageMs).toISOString();
    await writeFile(state, JSON.stringify({ [tag]: { ...saved[tag], seen } }));
    const after = await start();
    expect(await pull(after.client)).toBe(digests[expected]);
    await stop(after);
  });

  it('begins the period again when the tag moves again, and forgets it when the tag moves back', async () => {
    const { move, start } = await openScene();
    const running = await start();
    const { client } = running;
    const first = move('first');
    await pull(client);
    for (const to of ['second', 'third']) {
      const next = move(to);
      expect(await pull(client)).toBe(first);
      expect((await client.get('/waiting')).json()).toMatchObject({ [tag]: { served: first, next } });
    }
    move('first');
    expect(await pull(client)).toBe(first);
    expect((await client.get('/waiting')).json()).toEqual({});
    await stop(running);
  });

  it('refuses pulls while a decision cannot be written, and serves again afterwards', async () => {
    const { move, start, state } = await openScene();
    const { client } = await start();
    // A folder in the way of the file.
    await mkdir(`${state}.new`);
    const first = move('first');
    for (let i = 0; i < 2; i += 1) expect((await client.get(pathOf(name, 'latest'))).status).toBe(503);
    expect(existsSync(state)).toBe(false);
    await rm(`${state}.new`, { recursive: true });
    expect(await pull(client)).toBe(first);
    expect(JSON.parse(await readFile(state, 'utf8'))).toEqual({ [tag]: { served: first } });
  });
});
