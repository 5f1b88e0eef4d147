import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { callerWho } from '../../support/access/callers.js';
import type { Client } from '../../support/clients/client.js';
import {
  describeManifest,
  digest,
  imageManifest,
  pushBlob,
  pushManifest,
  someBytes,
} from '../../support/content/content.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups, MovableClock, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';
import type { TestRegistry } from '../../support/servers/registry.js';

const cleanups = new Cleanups();
let clock: MovableClock;
let fault: FaultUpstream;
let second: FaultUpstream;
let client: Client;
let server: TestRegistry;
beforeEach(async () => {
  clock = new MovableClock();
  second = await startFaultUpstream();
  cleanups.add(() => second.close());
  const common = { tagTtlSeconds: 60, negativeTtlSeconds: 0, listTtlSeconds: 0 };
  const scene: RemoteScene = await startRemote(cleanups, common, {
    others: () => [
      { name: 'public', type: 'remote', url: second.url, ...common },
      { name: 'all', type: 'virtual', members: ['hub', 'public', 'local'] },
      { name: 'listed', type: 'virtual', members: ['hub', 'local'], order: 'as-listed' },
      { name: 'guarded', type: 'virtual', members: ['local', 'hub'], reserved: ['team/**', 'secret'] },
      {
        name: 'parted',
        type: 'virtual',
        members: [
          { name: 'local', include: ['ours/**'] },
          { name: 'hub', exclude: ['ours/**', '*/private'] },
        ],
      },
      { name: 'nested', type: 'virtual', members: ['guarded', 'public'] },
    ],
  });
  ({ fault, client, server } = scene);
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const read = async (path: string): Promise<[number, string]> => {
  const answer = await client.get(`/v2/${path}`);
  return [answer.status, answer.status === 200 ? answer.header('docker-content-digest') : answer.codes.join()];
};

describe('a read of a virtual repository', () => {
  it('is answered by the first member that has the content: local members first, or in the listed order', async () => {
    const ours = imageManifest('ours');
    await pushManifest(client, 'local/team/app', 'v1', ours);
    const { manifest } = fault.images.addImage('team/app', 'v1');
    second.images.addImage('team/app', 'v1', [7]);
    const answer = await client.get('/v2/all/team/app/manifests/v1');
    expect([answer.header('docker-content-digest'), answer.header('x-cache-repository')]).toEqual([
      ours.digest,
      'local',
    ]);
    expect(fault.requests).toEqual([]);
    const listed = await client.get('/v2/listed/team/app/manifests/v1');
    expect(listed.header('docker-content-digest')).toBe(manifest.digest);
    expect(listed.header('x-cache-repository')).toBe('hub');
    expect(second.requests).toEqual([]);
  });

  it('continues with the next member after absent and denied', async () => {
    const { manifest } = second.images.addImage('team/app', 'v1');
    expect(await read('all/team/app/manifests/v1')).toEqual([200, manifest.digest]);
    fault.auth = { type: 'token', closed: ['team/app'] };
    second.images.addImage('team/app', 'v2');
    expect((await read('all/team/app/manifests/v2'))[0]).toBe(200);
    expect(await read('all/team/app/manifests/v3')).toEqual([404, 'MANIFEST_UNKNOWN']);
  });

  it.each(['500', '429', 'down'])('by tag ends at a member that fails: %s', async (how) => {
    second.images.addImage('team/app', 'v1');
    if (how === 'down') await fault.down();
    else fault.fault('/v2/', { status: Number(how), headers: { 'retry-after': '1' } });
    const [status, code] = await read('all/team/app/manifests/v1');
    expect([status, code]).toEqual(how === '429' ? [429, 'TOOMANYREQUESTS'] : [503, 'UNAVAILABLE']);
    expect(second.requests).toEqual([]);
  });

  it('is answered by a member with a stale copy, and the next is not asked', async () => {
    const { manifest } = fault.images.addImage('team/app', 'v1');
    second.images.addImage('team/app', 'v1', [7]);
    await read('all/team/app/manifests/v1');
    await fault.down();
    clock.advance(61);
    const answer = await client.get('/v2/all/team/app/manifests/v1');
    expect([answer.header('docker-content-digest'), answer.header('x-cache')]).toEqual([manifest.digest, 'stale']);
    expect(second.requests).toEqual([]);
  });

  it('by digest skips a member that fails, because the digest proves the bytes', async () => {
    const { manifest, layers } = second.images.addImage('team/app', 'v1', [500]);
    await fault.down();
    expect(await read(`all/team/app/manifests/${manifest.digest}`)).toEqual([200, manifest.digest]);
    expect((await read(`all/team/app/blobs/${layers[0]?.digest}`))[0]).toBe(200);
    expect((await client.head(`/v2/all/team/app/blobs/${layers[0]?.digest}`)).status).toBe(200);
    expect(await read(`all/team/app/manifests/${digest('none')}`)).toEqual([503, 'UNAVAILABLE']);
    expect(await read(`all/team/app/blobs/${digest('none')}`)).toEqual([503, 'UNAVAILABLE']);
    await fault.up();
    clock.advance(11);
    expect(await read(`all/team/app/blobs/${digest('none')}`)).toEqual([404, 'BLOB_UNKNOWN']);
  });

  it('of a reserved name never reaches a remote, nested or not', async () => {
    const { manifest, layers } = fault.images.addImage('team/app', 'v1');
    fault.images.addImage('secret', 'v1');
    second.images.addImage('other', 'v1');
    for (const path of [
      'guarded/team/app/manifests/v1',
      `guarded/team/app/manifests/${manifest.digest}`,
      `guarded/team/app/blobs/${layers[0]?.digest}`,
      'guarded/secret/manifests/v1',
      'guarded/team/app/tags/list',
      'nested/team/app/manifests/v2',
    ]) {
      expect((await read(path))[0]).toBe(404);
    }
    expect((await client.get(`/v2/guarded/team/app/referrers/${manifest.digest}`)).status).toBe(200);
    expect(fault.requests).toEqual([]);
    expect((await read('nested/other/manifests/v1'))[0]).toBe(200);
  });

  it('asks members only for images that match their patterns', async () => {
    await pushManifest(client, 'local/ours/app', 'v1', imageManifest('ours'));
    await pushManifest(client, 'local/theirs/app', 'v1', imageManifest('hidden'));
    fault.images.addImage('ours/app', 'v2');
    fault.images.addImage('a/private', 'v1');
    fault.images.addImage('theirs/app', 'v2');
    const statuses = await Promise.all(
      [
        'ours/app/manifests/v1',
        'ours/app/manifests/v2',
        'theirs/app/manifests/v1',
        'theirs/app/manifests/v2',
        'a/private/manifests/v1',
      ].map(async (path) => (await read(`parted/${path}`))[0]),
    );
    expect(statuses).toEqual([200, 404, 404, 200, 404]);
    const { repositories } = (await client.get('/v2/_catalog?n=1000')).json() as { repositories: string[] };
    expect(repositories.filter((name) => name.startsWith('parted/'))).toEqual(['parted/ours/app', 'parted/theirs/app']);
  });
});

describe('merged lists', () => {
  it('have each tag once, in pages, and fail when a member fails', async () => {
    for (const tag of ['a', 'c', 'e']) await pushManifest(client, 'local/app', tag, imageManifest(tag));
    for (const tag of ['b', 'c', 'f']) fault.images.addManifest('app', imageManifest(`hub ${tag}`), tag);
    for (const tag of ['d', 'f', 'Z']) second.images.addManifest('app', imageManifest(`public ${tag}`), tag);
    const pages: string[][] = [];
    for (let url: string | undefined = '/v2/all/app/tags/list?n=2'; url !== undefined;) {
      const answer = await client.get(url);
      const page = answer.json() as { name: string; tags: string[] };
      expect(page.name).toBe('all/app');
      pages.push(page.tags);
      url = answer.next;
    }
    expect(pages.flat()).toEqual(['Z', 'a', 'b', 'c', 'd', 'e', 'f']);
    expect(pages.every(({ length }) => length <= 2)).toBe(true);
    fault.fault('/tags/', { status: 404 });
    expect((await client.get('/v2/all/app/tags/list')).json()).toEqual({
      name: 'all/app',
      tags: ['Z', 'a', 'c', 'd', 'e', 'f'],
    });
    expect((await client.get('/v2/all/unknown/tags/list')).codes).toEqual(['NAME_UNKNOWN']);
    await second.down();
    expect((await client.get('/v2/all/unknown/tags/list')).status).toBe(503);
    fault.heal();
    // Known once: stale, and said so.
    const stale = await client.get('/v2/all/app/tags/list');
    expect([stale.status, stale.header('x-cache')]).toEqual([200, 'stale']);
  });

  it('have the referrers of all members', async () => {
    const subject = imageManifest('subject');
    const [one, two] = ['one', 'two'].map((label) => imageManifest(label, { subject: describeManifest(subject) }));
    if (one === undefined || two === undefined) throw new Error('two were made');
    await pushManifest(client, 'local/app', one.digest, one);
    fault.images.addManifest('app', one);
    fault.images.addManifest('app', two);
    const answer = await client.get(`/v2/all/app/referrers/${subject.digest}`);
    const found = (answer.json() as { manifests: { digest: string }[] }).manifests;
    expect(found.map((item) => item.digest)).toEqual([one.digest, two.digest].sort());
    await second.down();
    expect((await client.get(`/v2/all/app/referrers/${digest('another')}`)).status).toBe(503);
  });

  it('have the complete catalog, even if many images of a member are excluded', async () => {
    for (let i = 0; i < 12; i++) {
      await pushManifest(client, `local/hidden/i${String(i).padStart(2, '0')}`, 'v1', imageManifest('x'));
    }
    await pushManifest(client, 'local/ours/z', 'v1', imageManifest('x'));
    for (const n of [1, 2, 5, 100]) {
      const names: string[] = [];
      for (let url: string | undefined = `/v2/_catalog?n=${n}`; url !== undefined;) {
        const answer = await client.get(url);
        names.push(...(answer.json() as { repositories: string[] }).repositories);
        url = answer.next;
      }
      expect(names.filter((name) => name.startsWith('parted/'))).toEqual(['parted/ours/z']);
      expect(names.filter((name) => name.startsWith('all/'))).toHaveLength(13);
      expect(names).toEqual([...names].sort());
    }
  });
});

describe('a caller who may not pull from a member', () => {
  it('gets none of its content and does not learn that it exists', async () => {
    const key = await pushBlob(client, 'local/app', someBytes('hidden', 100));
    await pushManifest(client, 'local/app', 'v1', imageManifest('hidden'));
    fault.images.addManifest('app', imageManifest('seen'), 'v2');
    await client.get('/v2/hub/app/manifests/v2');
    const repository = server.directory.get('all')?.repository;
    if (repository === undefined) throw new Error('there is no such repository');
    const caller = callerWho('guest', ({ repository: name }) => name !== 'local');
    const { parseTag } = await import('../../../src/protocol/names.js');
    const { parseDigest } = await import('../../../src/protocol/digest.js');
    expect(await repository.getManifest(caller, 'app', { tag: parseTag('v1') })).toBeUndefined();
    expect(await repository.getBlob(caller, 'app', parseDigest(key))).toBeUndefined();
    expect(await repository.findHeldBlob(caller, 'app', parseDigest(key))).toBeUndefined();
    expect((await repository.listTags(caller, 'app', { limit: 9 }))?.items.map(({ name }) => name)).toEqual(['v2']);
    expect((await repository.listImages(caller, { limit: 9 })).items.map(({ manifests }) => manifests)).toEqual([1]);
    const nobody = callerWho('guest', () => false);
    expect((await repository.listImages(nobody, { limit: 9 })).items).toEqual([]);
    const explained = await repository.explain(caller, 'app', { tag: parseTag('v1') });
    expect(explained.members?.map((member) => member.repository)).toEqual(['hub', 'public']);
  });
});
