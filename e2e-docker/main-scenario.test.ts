import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { composeImage, content, jsonContent, mediaTypes } from './support/images.js';
import { header, http } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

/** 90 000 bytes that do not compress and are the same in every run. */
function layerBytes(): Buffer {
  const blocks = Array.from({ length: 2813 }, (_, index) => createHash('sha256').update(`layer ${index}`).digest());
  return Buffer.concat(blocks).subarray(0, 90_000);
}

// The main purpose of the project, step by step. Each test continues where the last one stopped.
describe('a local docker repository, from its creation to its deletion', () => {
  const config = jsonContent(mediaTypes.dockerConfig, { architecture: 'amd64', os: 'linux' });
  const layer = content(mediaTypes.dockerLayerGzip, layerBytes());
  const { manifest } = composeImage(config, [layer]);
  const image = '/v2/docker-internal/team/app';
  let bed: TestBed;
  let origin: string;

  beforeAll(async () => {
    bed = await openTestBed();
    origin = bed.registry.origin;
  });
  afterAll(() => bed?.close());

  test('1. the repository is created, and the version check answers', async () => {
    const created = await http(`${origin}/api/v1/repositories`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'docker-internal', package_type: 'docker', repo_type: 'local' }),
    });
    expect(created.status, created.body.toString()).toBe(201);
    expect((await http(`${origin}/v2/`)).status).toBe(200);
  });

  test('2. HEAD does not find a new blob', async () => {
    const stat = await http(`${origin}${image}/blobs/${layer.digest}`, { method: 'HEAD' });
    expect(stat.status).toBe(404);
  });

  test('3. the config blob is uploaded in one PUT', async () => {
    const started = await http(`${origin}${image}/blobs/uploads/`, { method: 'POST' });
    expect(started.status).toBe(202);
    const location = header(started, 'location');
    expect(location).toMatch(/^\/[^?]*$/);

    const stored = await http(`${origin}${location}?digest=${config.digest}`, { method: 'PUT', body: config.bytes });
    expect(stored.status, stored.body.toString()).toBe(201);
    expect(header(stored, 'docker-content-digest')).toBe(config.digest);
  });

  test('4. the layer blob is uploaded in a PATCH and an empty PUT', async () => {
    const started = await http(`${origin}${image}/blobs/uploads/`, { method: 'POST' });
    const patched = await http(`${origin}${header(started, 'location')}`, { method: 'PATCH', body: layer.bytes });
    expect(patched.status, patched.body.toString()).toBe(202);
    expect(header(patched, 'range')).toBe(`0-${layer.bytes.length - 1}`);

    const location = header(patched, 'location');
    expect(location).toMatch(/^\/[^?]*$/);
    const stored = await http(`${origin}${location}?digest=${layer.digest}`, { method: 'PUT', body: '' });
    expect(stored.status, stored.body.toString()).toBe(201);
  });

  test('5. the manifest is pushed under a tag', async () => {
    const stored = await http(`${origin}${image}/manifests/v1.0.0`, {
      method: 'PUT',
      headers: { 'content-type': manifest.mediaType },
      body: manifest.bytes,
    });
    expect(stored.status, stored.body.toString()).toBe(201);
    expect(header(stored, 'docker-content-digest')).toBe(manifest.digest);
  });

  test.each(['v1.0.0', manifest.digest])('6. the manifest is returned unchanged by %s', async (reference) => {
    const pulled = await http(`${origin}${image}/manifests/${reference}`);
    expect(pulled.status).toBe(200);
    expect(pulled.body.equals(manifest.bytes)).toBe(true);
    expect(header(pulled, 'content-type')).toBe('application/vnd.docker.distribution.manifest.v2+json');
    expect(header(pulled, 'docker-content-digest')).toBe(manifest.digest);
  });

  test.each([
    ['config', config],
    ['layer', layer],
  ])('6. the %s blob is returned unchanged', async (_name, blob) => {
    const pulled = await http(`${origin}${image}/blobs/${blob.digest}`);
    expect(pulled.status).toBe(200);
    expect(pulled.body.equals(blob.bytes)).toBe(true);
    expect(header(pulled, 'docker-content-digest')).toBe(blob.digest);
  });

  test('6. HEAD finds the layer', async () => {
    const stat = await http(`${origin}${image}/blobs/${layer.digest}`, { method: 'HEAD' });
    expect(stat.status).toBe(200);
    expect(header(stat, 'content-length')).toBe(String(layer.bytes.length));
  });

  test('7. the tag is listed', async () => {
    const listed = await http(`${origin}${image}/tags/list`);
    expect(listed.status).toBe(200);
    expect(JSON.parse(listed.body.toString())).toEqual({ name: 'docker-internal/team/app', tags: ['v1.0.0'] });
  });

  test('7. the repository is deleted with its content', async () => {
    const deleted = await http(`${origin}/api/v1/repositories/docker-internal`, { method: 'DELETE' });
    expect(deleted.status, deleted.body.toString()).toBe(204);
    const gone = [
      `${image}/manifests/v1.0.0`,
      `${image}/manifests/${manifest.digest}`,
      `${image}/blobs/${config.digest}`,
      `${image}/blobs/${layer.digest}`,
      `${image}/tags/list`,
      '/api/v1/repositories/docker-internal',
    ];
    for (const path of gone) expect((await http(`${origin}${path}`)).status, path).toBe(404);
  });
});
