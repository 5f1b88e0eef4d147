import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { createRegistry, OptionsError, type RegistryOptions } from '../../../src/index.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  types,
} from '../../support/content/content.js';
import { Cleanups, startRemote } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const json = { 'Content-Type': 'application/json' };

describe.each([true, false])('a push through a virtual repository, whose target is sparse: %s', (sparse) => {
  it('is complete in the target, even if only another member had a layer', async () => {
    const { fault, client } = await startRemote(
      cleanups,
      {},
      {
        others: () => [
          { name: 'target', type: 'local', sparse },
          { name: 'all', type: 'virtual', members: ['target', 'local', 'hub'], pushTo: 'target' },
        ],
      },
    );
    const [base, held, own] = ['base', 'held', 'own'].map((seed) => someBytes(seed, 20_000)) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    fault.images.addBlob('app', base);
    fault.images.addBlob('app', someBytes('only upstream', 100));
    await client.get(`/v2/hub/app/blobs/${digest(base)}`);
    while ((await client.head(`/v2/hub/app/blobs/${digest(base)}`)).header('x-cache') !== 'hit') await sleep(5);
    await pushBlob(client, 'local/app', held);
    const asked = fault.requests.length;
    const present = async (bytes: Buffer): Promise<number> =>
      (await client.head(`/v2/all/app/blobs/${digest(bytes)}`)).status;
    expect([await present(base), await present(held), await present(own)]).toEqual([200, 200, 404]);
    expect(await present(someBytes('only upstream', 100))).toBe(404);
    expect(fault.requests.length).toBe(asked);
    await pushBlob(client, 'all/app', own);
    expect(await present(own)).toBe(200);
    const manifest = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, own),
      layers: [base, held].map((bytes) => describeBytes(types.ociLayer, bytes)),
    });
    const pushed = await pushManifest(client, 'all/app', 'v1', manifest);
    expect(pushed.header('location')).toBe(`/v2/all/app/manifests/${manifest.digest}`);
    expect(fault.requests.length).toBe(asked);
    await fault.down();
    expect((await client.delete('/api/v1/repositories/hub/cache')).status).toBe(200);
    expect((await client.delete(`/v2/local/app/blobs/${digest(held)}`)).status).toBe(202);
    for (const bytes of [base, held, own]) {
      const answer = await client.get(`/v2/target/app/blobs/${digest(bytes)}`);
      expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    }
    expect((await client.get('/v2/target/app/manifests/v1')).body.equals(manifest.bytes)).toBe(true);
  });
});

describe('writes through a virtual repository', () => {
  const start = () =>
    startRemote(
      cleanups,
      {},
      {
        others: () => [
          { name: 'all', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' },
          { name: 'closed', type: 'virtual', members: ['local', 'hub'] },
        ],
      },
    );

  it('go to the target, under the name that the client used', async () => {
    const { client } = await start();
    const bytes = someBytes('x', 1000);
    const started = await client.post('/v2/all/app/blobs/uploads/');
    expect([started.status, started.header('location')]).toEqual([
      202,
      expect.stringMatching(/^\/v2\/all\/app\/blobs\/uploads\//),
    ]);
    const patched = await client.patch(started.header('location'), { body: bytes });
    const done = await client.put(`${patched.header('location')}?digest=${digest(bytes)}`);
    expect([done.status, done.header('location')]).toEqual([201, `/v2/all/app/blobs/${digest(bytes)}`]);
    const manifest = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, bytes), layers: [] });
    await pushManifest(client, 'all/app', 'v1', manifest);
    expect((await client.get('/v2/local/app/manifests/v1')).status).toBe(200);
    expect((await client.delete('/v2/all/app/manifests/v1')).status).toBe(202);
    expect((await client.get('/v2/local/app/manifests/v1')).status).toBe(404);
  });

  it.each(['local/from', 'hub/from', 'all/from', 'closed/from'])('mount from %s', async (from) => {
    const { fault, client } = await start();
    const bytes = someBytes(from, 1000);
    if (from === 'hub/from') {
      fault.images.addBlob('from', bytes);
      await client.get(`/v2/hub/from/blobs/${digest(bytes)}`);
      while ((await client.head(`/v2/hub/from/blobs/${digest(bytes)}`)).header('x-cache') !== 'hit') await sleep(5);
    } else await pushBlob(client, 'local/from', bytes);
    const mounted = await client.post(`/v2/all/to/blobs/uploads/?mount=${digest(bytes)}&from=${from}`);
    expect(mounted.status).toBe(201);
    expect((await client.get(`/v2/local/to/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
  });

  it('get 405 without a push target and for a remote repository, with the repositories that accept pushes', async () => {
    const { fault, client } = await start();
    for (const name of ['closed/app', 'hub/app']) {
      for (const answer of [
        await client.post(`/v2/${name}/blobs/uploads/`),
        await client.put(`/v2/${name}/manifests/v1`, { body: '{}' }),
        await client.delete(`/v2/${name}/manifests/v1`),
        await client.delete(`/v2/${name}/blobs/${digest('x')}`),
      ]) {
        expect([answer.status, answer.codes]).toEqual([405, ['UNSUPPORTED']]);
        expect(answer.body.toString()).toMatch(/push to one of all, local/);
      }
    }
    expect(fault.requests).toEqual([]);
  });
});

describe('the configuration of virtual repositories', () => {
  const problemsOf = (repositories: NonNullable<RegistryOptions['repositories']>): string[] => {
    try {
      createRegistry({ storage: '/nowhere/at/all', repositories });
    } catch (error) {
      if (error instanceof OptionsError) return error.problems.map(({ path, problem }) => `${path}: ${problem}`);
      throw error;
    }
    throw new Error('it was taken');
  };

  it('is refused with every unknown member, cycle and invalid target at once', () => {
    const problems = problemsOf([
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: 'https://up.example' },
      { name: 'a', type: 'virtual', members: ['b', 'none', 'local', 'local'] },
      { name: 'b', type: 'virtual', members: ['a'] },
      { name: 'c', type: 'virtual', members: ['c', 'hub'], pushTo: 'hub' },
      { name: 'd', type: 'virtual', members: ['hub'], pushTo: 'local' },
    ]);
    expect(problems).toEqual([
      'repositories[2].members[1]: unknown repository "none"',
      'repositories[2].members[3]: "local" is a member already',
      'repositories[2].members: must not form a cycle: a → b → a',
      'repositories[3].members: must not form a cycle: b → a → b',
      'repositories[4].members: must not form a cycle: c → c',
      'repositories[4].pushTo: "hub" is not a local repository',
      'repositories[5].pushTo: "local" is not a member',
    ]);
  });

  it('is checked by the API in the same way, and a member cannot be deleted', async () => {
    const { client } = await startRemote(cleanups);
    const post = (document: object) =>
      client.post('/api/v1/repositories', {
        headers: json,
        body: JSON.stringify({ package_type: 'docker', ...document }),
      });
    const put = (name: string, document: object) =>
      client.put(`/api/v1/repositories/${name}`, {
        headers: json,
        body: JSON.stringify({ package_type: 'docker', repo_type: 'virtual', ...document }),
      });
    const refused = await post({ name: 'v', repo_type: 'virtual', members: ['none', 'v'], push_to: 'local' });
    expect([refused.status, refused.codes]).toEqual([400, ['OPTIONS_INVALID']]);
    for (const part of ['unknown repository', 'cycle', 'is not a member'])
      expect(refused.body.toString()).toContain(part);
    expect((await post({ name: 'extra', repo_type: 'local' })).status).toBe(201);
    expect(
      (await post({ name: 'v', repo_type: 'virtual', members: ['local', 'extra'], push_to: 'extra' })).status,
    ).toBe(201);
    expect((await post({ name: 'w', repo_type: 'virtual', members: ['v'] })).status).toBe(201);
    expect((await put('v', { members: ['w'] })).codes).toEqual(['OPTIONS_INVALID']);
    const member = await client.delete('/api/v1/repositories/extra');
    expect([member.status, member.codes]).toEqual([409, ['CONFLICT']]);
    expect(member.body.toString()).toContain('v');
    expect((await put('v', { members: ['local'] })).status).toBe(200);
    expect((await client.delete('/api/v1/repositories/extra')).status).toBe(204);
  });
});
