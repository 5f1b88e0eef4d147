import { expect } from 'vitest';
import type { Client } from './client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  startUpload,
  types,
} from '../content/content.js';

/** Pushes an image like docker (a config in one request, a layer as a stream, a manifest) and pulls it back. */
export async function pushAndPull(client: Client, name: string): Promise<void> {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', of: name }));
  const layer = someBytes(name, 90_000);
  await pushBlob(client, name, config);
  const patched = await client.patch(await startUpload(client, name), { body: layer });
  expect(patched.status).toBe(202);
  const completed = await client.put(`${patched.header('location')}?digest=${digest(layer)}`);
  expect(completed.status).toBe(201);
  const manifest = manifestOf(types.dockerImage, {
    config: describeBytes(types.ociConfig, config),
    layers: [describeBytes(types.ociLayer, layer)],
  });
  await pushManifest(client, name, 'v1', manifest);

  const pulled = await client.get(`/v2/${name}/manifests/v1`, { Accept: types.dockerImage });
  expect([pulled.status, pulled.header('content-type')]).toEqual([200, types.dockerImage]);
  expect(pulled.body).toEqual(manifest.bytes);
  for (const bytes of [config, layer]) {
    const blob = await client.get(`/v2/${name}/blobs/${digest(bytes)}`);
    expect(blob.status).toBe(200);
    expect(blob.body.equals(bytes)).toBe(true);
  }
}
