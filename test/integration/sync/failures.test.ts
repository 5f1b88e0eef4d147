import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest } from '../../support/content/content.js';
import { startRegistry } from '../../support/servers/registry.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { OddUpstream, firstSchema, refuse } from '../../support/upstreams/odd-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { sceneOf, startSync } from '../../support/upstreams/sync-scene.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

describe('a sync of an upstream with faults', () => {
  it('continues with the other images and tags when one fails, and repairs it in the next run', async () => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    for (const name of ['a', 'b', 'c']) for (const tag of ['v1', 'v2']) fault.images.addImage(name, tag);
    fault.fault('/v2/b/tags/list', { status: 500, times: 2 });
    const removeFault = fault.fault('/v2/c/manifests/', { status: 503 });
    await define({ images: ['a', 'b', 'c', 'UPPER'] });
    const job = await run();
    expect(job).toMatchObject({ state: 'partly', report: { copied_tags: 2, failed_tags: 2, failed: 4 } });
    const places = job.report?.problems.map(({ image, tag }) => [image, tag].join(' ').trim());
    expect(places?.sort()).toEqual(['UPPER', 'b', 'c v1', 'c v2']);
    for (const { error } of job.report?.problems ?? []) expect(error).toMatch(/127\.0\.0\.1:\d+ failed: |not the name/);
    expect([await tagsOf('a'), await tagsOf('b'), await tagsOf('c')]).toEqual([['v1', 'v2'], undefined, undefined]);
    removeFault();
    fault.heal();
    await define({ images: ['a', 'b', 'c'] });
    // The circuit breaker may still pause requests.
    while ((await run()).state !== 'succeeded') await sleep(100);
    expect([await tagsOf('b'), await tagsOf('c')]).toEqual([
      ['v1', 'v2'],
      ['v1', 'v2'],
    ]);
  });

  it.each([
    { upstream: 'that continues a transfer', fault: {} },
    { upstream: 'that ignores ranges', fault: { noRange: true } },
    { upstream: 'that refuses ranges', fault: { rangeStatus: 400 } },
    { upstream: 'that sends parts of a range', fault: { partBytes: 40_000 } },
    { upstream: 'that does not announce lengths', fault: { noLength: true } },
  ])('continues a blob whose transfer broke off, from an upstream $upstream', async ({ fault: kind }) => {
    const { fault, define, run, client } = await startSync(cleanups);
    const { layers } = fault.images.addImage('app', 'v1', [200_000]);
    fault.fault(`/blobs/${layers[0]?.digest}`, kind);
    fault.fault(`/blobs/${layers[0]?.digest}`, { ...kind, method: 'GET', cutAfterBytes: 60_000, times: 2 });
    await define({ images: ['app'] });
    expect(await run()).toMatchObject({ state: 'succeeded', report: { copied_tags: 1, copied_blobs: 2 } });
    const blob = await client.get(`/v2/mirror/app/blobs/${layers[0]?.digest}`);
    expect(digest(blob.body)).toBe(layers[0]?.digest);
  });

  it('gives up on a blob whose transfers yield no bytes, and does not store its tag', async () => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    const { layers } = fault.images.addImage('app', 'v1', [200_000]);
    fault.fault(`/blobs/${layers[0]?.digest}`, { method: 'GET', cutAfterBytes: 0 });
    await define({ images: ['app'] });
    const job = await run();
    expect(job).toMatchObject({ state: 'partly', report: { failed_tags: 1, copied_tags: 0 } });
    expect(job.report?.problems[0]?.error).toMatch(/^the transfer of the blob sha256:.* broke off$/);
    expect(await tagsOf('app')).toEqual([]);
  });

  it.each([
    { what: 'a blob', pattern: /\/blobs\// },
    { what: 'a manifest', pattern: /\/manifests\// },
  ])('refuses $what with wrong bytes', async ({ pattern }) => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    fault.images.addImage('app', 'v1');
    fault.fault(pattern, { method: 'GET', wrongBytes: true });
    await define({ images: ['app'] });
    expect(await run()).toMatchObject({ state: 'partly', report: { copied_tags: 0, failed_tags: 1 } });
    expect(await tagsOf('app')).toBeUndefined();
  });

  it('reports a blob that the upstream lacks', async () => {
    const { fault, define, run } = await startSync(cleanups);
    const { layers } = fault.images.addImage('app', 'v1');
    fault.images.blobs.delete(`app@${layers[0]?.digest}`);
    await define({ images: ['app'] });
    expect((await run()).report?.problems).toEqual([
      { image: 'app', tag: 'v1', error: `the upstream lacks the blob ${layers[0]?.digest}` },
    ]);
  });

  it.each([
    { catalog: 'is refused', prepare: { status: 403 } },
    { catalog: 'is unknown', prepare: { status: 404 } },
    { catalog: 'is not a list', prepare: { body: '{"names":[]}' } },
  ])('copies images by name but not by pattern when the catalog $catalog', async ({ prepare }) => {
    const { fault, define, run, tagsOf } = await startSync(cleanups);
    fault.images.addImage('app', 'v1');
    fault.images.addImage('team/tool', 'v1');
    fault.fault('_catalog', prepare);
    await define({ images: ['app', 'team/*'] });
    const job = await run();
    expect(job).toMatchObject({ state: 'partly', report: { copied_tags: 1 } });
    expect(job.report?.problems).toEqual([
      { image: 'team/*', error: expect.stringMatching(/does not list its images .*: write their names/) as string },
    ]);
    expect(await tagsOf('app')).toEqual(['v1']);
  });

  it('logs in to the upstream and reads all pages of its catalog', async () => {
    const fault = await startFaultUpstream();
    cleanups.add(() => fault.close());
    fault.auth = { type: 'token', users: { robot: 'secret' }, pingScope: 'registry:catalog:*' };
    fault.images.pageSize = 2;
    for (const name of ['team/a', 'team/b', 'team/c', 'team/d/e', 'x']) fault.images.addImage(name, 'v1');
    const server = await startRegistry({
      repositories: [
        { name: 'mirror', type: 'local' },
        {
          name: 'hub',
          type: 'remote',
          url: `${fault.url}/team`,
          credentials: { username: 'robot', password: 'secret' },
        },
      ],
    });
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    const { define, run, tagsOf } = sceneOf({ client });
    await define({ images: ['*'] });
    expect(await run()).toMatchObject({ state: 'succeeded', report: { images: 3, copied_tags: 3 } });
    expect(await tagsOf('a')).toEqual(['v1']);
  });
});

describe('a sync of an odd upstream', () => {
  it.each<{ oddity: string; prepare: (odd: OddUpstream) => void; state: string }>([
    {
      oddity: 'does not support HEAD',
      prepare: (odd) =>
        odd.on(/manifests|blobs/, (req, res) => req.method === 'HEAD' && refuse(res, 405, 'UNSUPPORTED')),
      state: 'succeeded',
    },
    {
      oddity: 'has no digest in its headers',
      prepare: (odd) =>
        odd.on(/manifests/, (req, res) => {
          res.writeHead(200, { 'Content-Type': odd.manifest.type });
          res.end(req.method === 'HEAD' ? undefined : odd.manifest.bytes);
        }),
      state: 'succeeded',
    },
    {
      oddity: 'sends null for its layers',
      prepare: (odd) => {
        const json = JSON.parse(odd.manifest.bytes.toString()) as object;
        const bytes = Buffer.from(JSON.stringify({ ...json, layers: null }));
        odd.manifest = { ...odd.manifest, bytes, digest: digest(bytes), sha512: digest(bytes, 'sha512') };
      },
      state: 'succeeded',
    },
    { oddity: 'has an image of the first schema', prepare: (odd) => (odd.manifest = firstSchema()), state: 'partly' },
    {
      oddity: 'answers web pages',
      prepare: (odd) =>
        odd.on(/tags/, (_req, res) => res.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>')),
      state: 'partly',
    },
    {
      oddity: 'requires a login',
      prepare: (odd) =>
        odd.on(/team/, (_req, res) => refuse(res, 401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })),
      state: 'partly',
    },
  ])('ends as $state when it $oddity', async ({ prepare, state }) => {
    const odd = new OddUpstream();
    await odd.up();
    cleanups.add(() => odd.close());
    prepare(odd);
    const { define, run, client } = await startSync(cleanups, {
      others: undefined,
      repositories: [
        { name: 'mirror', type: 'local' },
        { name: 'hub', type: 'remote', url: odd.url },
      ],
    } as never);
    await define({ images: ['team/app'], referrers: true });
    const job = await run();
    expect(job.state, JSON.stringify(job)).toBe(state);
    const answer = await client.get('/v2/mirror/team/app/manifests/v1');
    if (state === 'succeeded') expect(answer.body.equals(odd.manifest.bytes)).toBe(true);
    else expect([answer.status, job.report?.problems.length]).toEqual([404, 1]);
  });
});

describe('an interrupted sync', () => {
  it('ends as cancelled, and the next run copies the rest only', async () => {
    const { fault, define, start, ended, run, client, tagsOf } = await startSync(cleanups);
    for (let i = 0; i < 12; i++) fault.images.addImage(`app${i}`, 'v1', [50_000]);
    const removeFault = fault.fault(/app(?:5|6|7)\/blobs/, { method: 'GET', slow: { chunkBytes: 100, delayMs: 20 } });
    await define({ images: ['**'] });
    const id = await start();
    while ((await tagsOf('app4')) === undefined) await sleep(5);
    expect((await client.send('DELETE', `/api/v1/jobs/${id}`)).status).toBe(202);
    const job = await ended(id);
    expect(job.state).toBe('cancelled');
    removeFault();
    const before = Number(job.report?.['copied_tags']);
    expect(before).toBeGreaterThan(3);
    expect(await run()).toMatchObject({
      state: 'succeeded',
      report: { unchanged_tags: before, copied_tags: 12 - before },
    });
  });
});
