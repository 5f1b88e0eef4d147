import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Client } from '../../support/clients/client.js';
import { digest, imageManifest, pushManifest } from '../../support/content/content.js';
import { Cleanups, startRemote } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let client: Client;
const names = ['local', 'by-ns', 'by-host', 'by-default'] as const;

beforeEach(async () => {
  ({ client } = await startRemote(
    cleanups,
    {},
    {
      others: () => names.slice(1).map((name) => ({ name, type: 'local' as const, sparse: true })),
      hosts: { 'Hub.Example.com': 'by-host', 'other.example:5000': 'by-host' },
      namespaces: { 'docker.io': 'by-ns', 'ghcr.io': 'by-ns' },
      defaultRepository: 'by-default',
    },
  ));
  // Each repository holds every reading of the names requested below.
  for (const name of names) {
    for (const image of ['team/app', 'local/team/app', 'app', 'by-ns/app']) {
      await pushManifest(client, `${name}/${image}`, 'v1', imageManifest(name));
    }
  }
  await pushManifest(client, 'by-ns/only', 'v1', imageManifest('by-ns'));
});
afterEach(() => cleanups.run());

const from = (name: string): string => imageManifest(name).digest;

describe('resolution of a read to a repository', () => {
  it.each<[string, Record<string, string>, string]>([
    ['local/team/app/manifests/v1', {}, 'local'],
    ['team/app/manifests/v1', {}, 'by-default'],
    ['app/manifests/v1', {}, 'by-default'],
    ['team/app/manifests/v1', { Host: 'hub.example.com' }, 'by-host'],
    ['team/app/manifests/v1', { Host: 'HUB.example.com:8443' }, 'by-host'],
    ['team/app/manifests/v1', { Host: 'other.example:5000' }, 'by-host'],
    ['team/app/manifests/v1', { Host: 'other.example:5001' }, 'by-default'],
    ['app/manifests/v1', { Host: 'hub.example.com' }, 'by-host'],
    ['local/team/app/manifests/v1', { Host: 'hub.example.com' }, 'by-host'],
    ['team/app/manifests/v1?ns=docker.io', {}, 'by-ns'],
    ['team/app/manifests/v1?ns=index.docker.io', {}, 'by-ns'],
    ['team/app/manifests/v1?ns=registry-1.docker.io', {}, 'by-ns'],
    ['team/app/manifests/v1?ns=Docker.IO', {}, 'by-ns'],
    ['team/app/manifests/v1?ns=ghcr.io', {}, 'by-ns'],
    ['local/team/app/manifests/v1?ns=docker.io', { Host: 'hub.example.com' }, 'by-ns'],
    // BuildKit, and containerd with override_path, send the mirror's path and the namespace.
    ['by-ns/app/manifests/v1?ns=docker.io', {}, 'by-ns'],
    ['by-ns/only/manifests/v1?ns=docker.io', {}, 'by-ns'],
    ['by-ns/only/manifests/v1?ns=ghcr.io', { Host: 'hub.example.com' }, 'by-ns'],
    ['by-ns/by-ns/app/manifests/v1?ns=docker.io', {}, 'by-ns'],
    ['local/team/app/manifests/v1?ns=quay.io', {}, 'local'],
    ['team/app/manifests/v1?ns=127.0.0.1:1', { Host: 'hub.example.com' }, 'by-host'],
    ['team/app/manifests/v1?ns=', {}, 'by-default'],
  ])('resolves %s with headers %j to %s', async (path, headers, expected) => {
    const answer = await client.get(`/v2/${path}`, headers);
    expect([answer.status, answer.header('docker-content-digest')]).toEqual([200, from(expected)]);
    const namespace = new URLSearchParams(path.split('?')[1]).get('ns') ?? '';
    expect(answer.header('oci-namespace')).toBe(expected === 'by-ns' ? namespace : '');
  });

  it('uses the name that the client sent in its names, Links and Locations', async () => {
    for (const tag of ['v2', 'v3']) await pushManifest(client, 'by-host/team/app', tag, imageManifest(tag));
    const tags = await client.get('/v2/team/app/tags/list?n=1', { Host: 'hub.example.com' });
    expect(tags.json()).toEqual({ name: 'team/app', tags: ['v1'] });
    expect(tags.next).toMatch(/^\/v2\/team\/app\/tags\/list\?/);
    const byNamespace = await client.get('/v2/team/app/tags/list?n=1&ns=docker.io');
    expect(byNamespace.json()).toEqual({ name: 'team/app', tags: ['v1'] });
    const upload = await client.post('/v2/team/app/blobs/uploads/', { headers: { Host: 'hub.example.com' } });
    expect(upload.header('location')).toMatch(/^\/v2\/team\/app\/blobs\/uploads\//);
    const pushed = await client.put('/v2/app/manifests/new', {
      headers: { 'Content-Type': imageManifest('new').type },
      body: imageManifest('new').bytes,
    });
    expect(pushed.header('location')).toBe(`/v2/app/manifests/${from('new')}`);
    expect((await client.get('/v2/by-default/app/manifests/new')).status).toBe(200);
  });

  it('searches only the repository that ns names, even when that repository lacks the image', async () => {
    const answer = await client.get('/v2/team/app/manifests/none?ns=docker.io');
    expect([answer.status, answer.codes]).toEqual([404, ['MANIFEST_UNKNOWN']]);
  });
});

it('ignores ns for writes', async () => {
  const manifest = imageManifest('written');
  const answer = await client.put('/v2/local/x/manifests/v1?ns=docker.io', {
    headers: { 'Content-Type': manifest.type },
    body: manifest.bytes,
  });
  expect(answer.status).toBe(201);
  expect((await client.get('/v2/local/x/manifests/v1')).status).toBe(200);
  expect((await client.get('/v2/by-ns/local/x/manifests/v1')).status).toBe(404);
  expect((await client.delete('/v2/local/x/manifests/v1?ns=docker.io')).status).toBe(202);
});

it('explains the form of names when a name matches no repository', async () => {
  const { client: bare } = await startRemote(cleanups);
  for (const name of ['team/app', 'local', 'app']) {
    const answer = await bare.get(`/v2/${name}/manifests/v1`);
    expect([answer.status, answer.codes]).toEqual([404, ['NAME_UNKNOWN']]);
    expect(answer.body.toString()).toMatch(/<repository>\/<image>.*hub.*local/);
  }
  expect((await bare.get(`/v2/hub/${digest('x').slice(7)}/manifests/v1`)).status).toBe(404);
});
