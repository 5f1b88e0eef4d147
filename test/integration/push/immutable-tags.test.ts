import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseManifest } from '../../../src/protocol/manifests/manifest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { createMemoryDisk, MemoryBlobStore } from '../../support/storage/memory-blob-store.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { callerWho } from '../../support/access/callers.js';
import { json } from '../../support/access/access.js';
import { buildImage, entriesOf, layoutOf, tarOf } from '../../support/content/archives.js';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeManifest,
  imageManifest,
  indexManifest,
  pushBlob,
  pushManifest,
  type Manifest,
} from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startRegistry({
    access: 'open',
    repositories: [
      { name: 'local', type: 'local', sparse: true, immutableTags: ['v*'], mutableTags: ['v*-rc*'] },
      { name: 'all', type: 'virtual', members: ['local'], pushTo: 'local' },
      { name: 'plain', type: 'local', sparse: true },
    ],
  });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const url = (name: string, reference: string): string => `/v2/${name}/manifests/${reference}`;
const first = imageManifest('first');
const second = imageManifest('second');

function put(
  name: string,
  reference: string,
  manifest: Manifest,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return client.put(url(name, reference), {
    headers: { 'Content-Type': manifest.type, ...headers },
    body: manifest.bytes,
  });
}

const remove = (path: string): Promise<Answer> => client.send('DELETE', path);
const digestAt = async (name: string, reference: string): Promise<string> =>
  (await client.head(url(name, reference))).header('docker-content-digest');

function expectDenied(answer: Answer, detail: object, message: string): void {
  expect([answer.status, answer.json()]).toMatchObject([403, { errors: [{ code: 'DENIED', detail }] }]);
  const [error] = (answer.json() as { errors: { message: string }[] }).errors;
  expect(error?.message).toBe(message);
}

describe.each(['local', 'all'])('an immutable tag of %s', (repository) => {
  const name = `${repository}/by-${repository}`;
  const stored = `local/by-${repository}`;
  const detail = { tag: 'v1', digest: first.digest, pattern: 'v*' };
  const moved = `tag "v1" of "${stored}" is immutable (pattern "v*") and names ${first.digest}: push under another tag`;
  beforeAll(async () => {
    for (const tag of ['v1', 'v1-rc1', 'latest']) await pushManifest(client, name, tag, first);
  });

  it('accepts its own digest again', async () => {
    expect((await put(name, 'v1', first)).status).toBe(201);
    expect((await put(name, `${first.digest}?tag=v1`, first)).status).toBe(201);
  });

  it('refuses another digest by tag and by tag parameter, changes nothing, and says why', async () => {
    expectDenied(await put(name, 'v1', second), detail, moved);
    expectDenied(await put(name, `${second.digest}?tag=new&tag=v1`, second), detail, moved);
    expect(await digestAt(name, 'v1')).toBe(first.digest);
    expect((await client.head(url(name, 'new'))).status).toBe(404);
    expect((await client.head(url(name, second.digest))).status).toBe(404);
  });

  it('is refused with 403 before a condition is considered, and with 412 for its own digest', async () => {
    expectDenied(await put(name, 'v1', second, { 'If-None-Match': '*' }), detail, moved);
    expect((await put(name, 'v1', first, { 'If-None-Match': '*' })).status).toBe(412);
  });

  it('refuses an imported archive before anything of it is stored', async () => {
    const image = buildImage(`imported to ${repository}`);
    const archive = await tarOf(entriesOf(layoutOf(image, `by-${repository}:v1`)));
    const answer = await client.post(`/api/v1/repositories/${repository}/import`, { body: archive });
    expectDenied(answer, detail, moved);
    expect(await digestAt(name, 'v1')).toBe(first.digest);
    const again = await client.post(`/api/v1/repositories/${repository}/import?tag=v2`, { body: archive });
    expect(again.status).toBe(201);
    // Nothing of the refused import was there.
    expect(again.json()).toMatchObject({ manifests: { already_present: 0 }, blobs: { already_present: 0 } });
  });

  it('cannot be deleted, nor can its manifest', async () => {
    const said = `tag "v1" of "${stored}" is immutable (pattern "v*") and names ${first.digest}: it cannot be deleted`;
    expectDenied(await remove(url(name, 'v1')), detail, said);
    const reason = `tag "v1" of "${stored}" names it and is immutable (pattern "v*")`;
    expectDenied(await remove(url(name, first.digest)), detail, `${first.digest} cannot be deleted: ${reason}`);
    expect(await digestAt(name, 'v1')).toBe(first.digest);
  });

  it('leaves mutable tags movable and deletable, and absent ones absent', async () => {
    for (const tag of ['v1-rc1', 'latest']) {
      expect((await put(name, tag, second)).status).toBe(201);
      expect((await remove(url(name, tag))).status).toBe(202);
    }
    expect((await remove(url(name, 'v9'))).status).toBe(404);
    expect((await remove(url(name, imageManifest('absent').digest))).status).toBe(404);
    expect((await remove(url(name, second.digest))).status).toBe(202);
  });

  it('protects the children and blobs of its index', async () => {
    const layer = Buffer.from(`layer of ${repository}`);
    const blob = await pushBlob(client, name, layer);
    const child = imageManifest(repository, {
      layers: [{ mediaType: 'application/x', digest: blob, size: layer.length }],
    });
    await pushManifest(client, name, child.digest, child);
    const index = indexManifest([describeManifest(child)]);
    await pushManifest(client, name, 'free', index);
    await pushManifest(client, name, 'v-index', index);
    const needed = { tag: 'v-index', digest: index.digest, pattern: 'v*' };
    const reason = `tag "v-index" of "${stored}" needs it as a part of ${index.digest} and is immutable (pattern "v*")`;
    for (const [path, digest] of [
      [url(name, child.digest), child.digest],
      [`/v2/${name}/blobs/${blob}`, blob],
    ] as const) {
      expectDenied(await remove(path), needed, `${digest} cannot be deleted: ${reason}`);
    }
    expect((await remove(url(name, 'free'))).status).toBe(202);
  });
});

it('exactly one of 8 clients that push different digests to a new immutable tag wins', async () => {
  for (const round of [1, 2, 3]) {
    const manifests = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => imageManifest(`client ${number} in round ${round}`));
    const answers = await Promise.all(manifests.map((manifest) => put('local/race', `v${round}`, manifest)));
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 403, 403, 403, 403, 403, 403, 403]);
    const winner = manifests[answers.findIndex(({ status }) => status === 201)];
    expect(await digestAt('local/race', `v${round}`)).toBe(winner?.digest);
  }
});

it('a tag that becomes immutable while its manifest is deleted keeps the manifest, or loses the race as a whole', async () => {
  for (let round = 0; round < 10; round++) {
    const manifest = imageManifest(`round ${round}`);
    const name = `local/late-${round}`;
    await pushManifest(client, name, 'latest', manifest);
    const [deleted, tagged] = await Promise.all([remove(url(name, manifest.digest)), put(name, 'v1', manifest)]);
    expect(tagged.status).toBe(201);
    expect([202, 403]).toContain(deleted.status);
    expect(await digestAt(name, 'v1')).toBe(manifest.digest);
  }
});

it('an administrator can override the protection through the writer, and the journal records it', async () => {
  const folder = await makeScratchFolder();
  const metadata = await LevelMetadataStore.open(folder);
  const storage = { blobs: new MemoryBlobStore(createMemoryDisk()), metadata };
  const own = await startRegistry({
    storage,
    repositories: [{ name: 'r', type: 'local', sparse: true, immutableTags: ['v*'] }],
  });
  try {
    const writer = own.directory.get('r')?.repository.writer;
    if (writer === undefined) throw new Error('no writer');
    const caller = callerWho('root', () => true);
    const [one, two] = [parseManifest(first.bytes, first.type), parseManifest(second.bytes, second.type)];
    const [v1, v2] = [parseTag('v1'), parseTag('v2')];
    const override = { override: true };
    await writer.putManifest(caller, 'app', one, [v1], override);
    await writer.putManifest(caller, 'app', two, [v1], override);
    await expect(writer.deleteTag(caller, 'app', v1)).rejects.toMatchObject({ code: 'DENIED' });
    expect(await writer.deleteTag(caller, 'app', v1, override)).toBe(true);
    expect(await writer.deleteTag(caller, 'app', v1, override)).toBe(false);
    await writer.putManifest(caller, 'app', one, [v2], override);
    expect(await writer.deleteManifest(caller, 'app', one.digest, override)).toBe(true);
    expect(await writer.deleteManifest(caller, 'app', two.digest, override)).toBe(true);
    const entries = (await metadata.journal.read({ after: 0, limit: 1000 })).filter(({ image }) => image === 'app');
    expect(entries.map((entry) => [entry.type, entry.tag, entry.override])).toEqual([
      ['manifest.pushed', undefined, undefined],
      ['tag.moved', 'v1', undefined],
      ['manifest.pushed', undefined, true],
      ['tag.moved', 'v1', true],
      ['tag.deleted', 'v1', true],
      ['tag.moved', 'v2', undefined],
      ['tag.deleted', 'v2', true],
      ['manifest.deleted', undefined, true],
      ['manifest.deleted', undefined, undefined],
    ]);
  } finally {
    await own.close();
    await removeScratchFolder(folder);
  }
});

describe('GET /api/v1/repositories/:repository/immutable', () => {
  const ask = (repository: string, query: string) => client.get(`/api/v1/repositories/${repository}/immutable${query}`);

  it('reports the pattern, in a virtual repository that of its push target', async () => {
    const found = { repository: 'local', tag: 'v1', immutable: true, pattern: 'v*' };
    expect((await ask('local', '?tag=v1')).json()).toEqual(found);
    expect((await ask('all', '?tag=v1')).json()).toEqual(found);
    const none = { tag: 'v1-rc1', immutable: false, pattern: null };
    expect((await ask('local', '?tag=v1-rc1')).json()).toEqual({ ...none, repository: 'local' });
    expect((await ask('plain', '?tag=v1')).json()).toEqual({ ...none, tag: 'v1', repository: 'plain' });
  });

  it.each([
    ['local', '', 400, 'TAG_INVALID'],
    ['local', '?tag=', 400, 'TAG_INVALID'],
    ['local', '?tag=a/b', 400, 'TAG_INVALID'],
    ['local', '?tag=v1&x=1', 400, 'OPTIONS_INVALID'],
    ['absent', '?tag=v1', 404, 'NAME_UNKNOWN'],
  ])('refuses %s%s with %i', async (repository, query, status, code) => {
    const answer = await ask(repository, query);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
  });
});

it('changed settings apply to the next request', async () => {
  const settings = { name: 'managed', package_type: 'docker', repo_type: 'local', sparse: true };
  const send = { headers: json, body: JSON.stringify({ ...settings, immutable_tags: ['*'] }) };
  expect((await client.post('/api/v1/repositories', send)).status).toBe(201);
  await pushManifest(client, 'managed/app', 'any', first);
  expect((await put('managed/app', 'any', second)).status).toBe(403);
  const changed = await client.put('/api/v1/repositories/managed', { headers: json, body: JSON.stringify(settings) });
  expect(changed.json()).toMatchObject({ immutable_tags: [], mutable_tags: [] });
  expect((await put('managed/app', 'any', second)).status).toBe(201);
});
