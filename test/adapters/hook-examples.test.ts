import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Answer, Client } from '../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  indexManifest,
  manifestOf,
  pushBlob,
  types,
  type Manifest,
} from '../support/content/content.js';
import { scratchFolder, startExample } from '../support/servers/examples.js';
import { Cleanups } from '../support/upstreams/remote.js';

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
