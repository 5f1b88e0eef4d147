import { afterEach, describe, expect, it } from 'vitest';
import { digest, imageManifest, types } from '../../support/content/content.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups, MovableClock, startRemote } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const subject = { mediaType: types.ociImage, digest: digest('subject'), size: 7 };

const throughVirtual = (url: string) =>
  [
    { name: 'pass', type: 'remote', url, cache: false },
    { name: 'all', type: 'virtual', members: ['pass'] },
  ] as const;

describe('a page of 200 referrers', () => {
  it.each(['all', 'hub'])('requests the list once from the upstream through %s', async (repository) => {
    const { fault, client } = await startRemote(cleanups, { listTtlSeconds: 0 }, { others: throughVirtual });
    for (let i = 0; i < 200; i++) fault.images.addManifest('team/app', imageManifest(`signature ${i}`, { subject }));
    const answer = await client.get(`/v2/${repository}/team/app/referrers/${subject.digest}`);
    expect((answer.json() as { manifests: unknown[] }).manifests).toHaveLength(200);
    // One request for all of them, not one for every 16 referrers.
    expect(fault.count('/referrers/')).toBe(1);
  });

  it('stays below 1 MiB and continues by its Link, whichever repository the referrers come from', async () => {
    const { fault, client } = await startRemote(
      cleanups,
      {},
      {
        others: () => [{ name: 'all', type: 'virtual', members: ['hub', 'local'] }],
      },
    );
    const annotations = { text: 'x'.repeat(60_000) };
    const names: string[] = [];
    for (let i = 0; i < 50; i++) {
      const manifest = imageManifest(`signature ${i}`, { subject, annotations });
      names.push(manifest.digest);
      if (i % 2 === 0) fault.images.addManifest('team/app', manifest);
      else
        await client.put(`/v2/local/team/app/manifests/${manifest.digest}`, {
          headers: { 'Content-Type': manifest.type },
          body: manifest.bytes,
        });
    }
    const found: string[] = [];
    const sizes: number[] = [];
    for (let next: string | undefined = `/v2/all/team/app/referrers/${subject.digest}`; next !== undefined;) {
      const answer = await client.get(next);
      const { manifests } = answer.json() as { manifests: { digest: string }[] };
      found.push(...manifests.map((one) => one.digest));
      sizes.push(answer.body.length);
      next = answer.next;
    }
    expect(found).toEqual(names.toSorted());
    expect(Math.max(...sizes)).toBeLessThan(1.1 * 1024 * 1024);
    expect(sizes.length).toBe(3);
  });
});

describe('referrers of several pass-throughs in a virtual repository', () => {
  it.each([['one'], ['both']])('are read from each upstream page once: %s', async (repository) => {
    const other = await startFaultUpstream();
    cleanups.add(() => other.close());
    const { fault, client } = await startRemote(
      cleanups,
      {},
      {
        others: (url) => [
          { name: 'first', type: 'remote', url, cache: false },
          { name: 'second', type: 'remote', url: other.url, cache: false },
          { name: 'one', type: 'virtual', members: ['first', 'local'] },
          { name: 'both', type: 'virtual', members: ['first', 'second'] },
        ],
      },
    );
    // A page for a client holds 16 of these.
    const annotations = { text: 'x'.repeat(60_000) };
    const upstreams = repository === 'one' ? [fault] : [fault, other];
    for (const { images } of upstreams) {
      images.pageSize = 50;
      for (let i = 0; i < 150; i++)
        images.addManifest('team/app', imageManifest(`${images === fault.images} ${i}`, { subject, annotations }));
    }
    let found = 0;
    for (let next: string | undefined = `/v2/${repository}/team/app/referrers/${subject.digest}`; next !== undefined;) {
      const answer = await client.get(next);
      found += (answer.json() as { manifests: unknown[] }).manifests.length;
      next = answer.next;
    }
    expect(found).toBe(150 * upstreams.length);
    for (const upstream of upstreams) expect(upstream.count('/referrers/')).toBe(3);
  });
});

describe('large annotations of a manifest with a subject', () => {
  const annotations = { text: 'x'.repeat(65_533) };
  const large = imageManifest('large', { subject, annotations });
  const headers = { 'Content-Type': large.type };

  it('are refused with 413 on push, unlike those of manifests without a subject', async () => {
    const { client } = await startRemote(cleanups);
    const push = async (manifest: typeof large) => {
      await client.post(`/v2/local/team/app/blobs/uploads/?digest=${digest('config')}`, { body: 'config' });
      return client.put(`/v2/local/team/app/manifests/${manifest.digest}`, { headers, body: manifest.bytes });
    };
    const refused = await push(large);
    expect([refused.status, refused.json()]).toMatchObject([
      413,
      { errors: [{ code: 'MANIFEST_INVALID', detail: { bytes: 65_537, maxBytes: 65_536 } }] },
    ]);
    expect((await push(imageManifest('none', { annotations }))).status).not.toBe(413);
    const { manifests } = (await client.get(`/v2/local/team/app/referrers/${subject.digest}`)).json() as {
      manifests: unknown[];
    };
    expect(manifests).toEqual([]);
  });

  it('are pulled through a cache, which lists the manifest without them while the upstream fails', async () => {
    const { fault, client } = await startRemote(cleanups, { listTtlSeconds: 0 });
    fault.images.addManifest('team/app', large);
    expect((await client.get(`/v2/hub/team/app/manifests/${large.digest}`)).status).toBe(200);
    fault.fault('/referrers/', { status: 500 });
    const list = await client.get(`/v2/hub/team/app/referrers/${subject.digest}`);
    const { manifests } = list.json() as { manifests: object[] };
    expect(manifests).toMatchObject([{ digest: large.digest }]);
    expect(manifests[0]).not.toHaveProperty('annotations');
  });
});

describe('a list paged through a virtual repository', () => {
  it('reads the list of a pass-through once per listing and always returns its current content', async () => {
    const { fault, client } = await startRemote(cleanups, {}, { others: throughVirtual });
    const list = async (): Promise<string[]> => {
      const found: string[] = [];
      for (let next: string | undefined = '/v2/all/team/app/tags/list?n=10'; next !== undefined;) {
        const answer = await client.get(next);
        found.push(...(answer.json() as { tags: string[] }).tags);
        next = answer.next;
      }
      return found;
    };
    const names = Array.from({ length: 200 }, (_, i) => `v${1000 + i}`);
    for (const tag of names) fault.images.addImage('team/app', tag);
    expect(await list()).toEqual(names);
    // One request for the whole listing, not one for each page.
    expect(fault.count('/tags/')).toBe(1);
    fault.images.addImage('team/app', 'v2000');
    expect(await list()).toEqual([...names, 'v2000']);
    expect(fault.count('/tags/')).toBe(2);
  });
});

describe('an invalid list of an upstream', () => {
  it('counts as an upstream failure when it is too long, and no page beyond the limit is requested', async () => {
    const { fault, client, server } = await startRemote(cleanups);
    fault.images.addImage('team/app', 'latest');
    const tags = (page: number) => Array.from({ length: 1000 }, (_, i) => `t-${page * 1000 + i}`);
    let page = 0;
    const body = (): string => JSON.stringify({ tags: tags(page++) });
    for (let i = 300; i > 0; i--) {
      const link = `</v2/team/app/tags/list?n=1000&page=${i}>; rel="next"`;
      fault.fault('/tags/', { body: body(), headers: { link }, times: 1 });
    }
    const answer = await client.get('/v2/hub/team/app/tags/list');
    expect(answer.status).toBe(503);
    expect(server.log.map(({ fields }) => JSON.stringify(fields)).join()).toContain('too long: at most 200000 items');
    // Without the limit the registry read up to a million items in 1000 pages.
    expect(fault.count('/tags/')).toBe(201);
    expect(answer.header('retry-after')).toBe('60');
    expect((await client.get('/v2/hub/team/app/tags/list')).status).toBe(503);
    expect(fault.count('/tags/')).toBe(201);
  });

  it.each<[title: string, body: string, link?: string]>([
    ['is larger than the page limit', JSON.stringify({ tags: [], padding: 'x'.repeat(9 * 1024 * 1024) })],
    ['has too many values', JSON.stringify({ tags: Array.from({ length: 200_001 }, () => '') })],
    ['has another shape', '{"tags":7}'],
    ['links in a circle', '{"tags":[]}', '</v2/team/app/tags/list?n=1000>; rel="next"'],
    ['links to a page without a query', '{"tags":[]}', '<http://127.0.0.1:1/v2/team/app/tags/list>; rel="next"'],
  ])('is not requested again for a minute when it %s', async (_title, body, link) => {
    const clock = new MovableClock();
    cleanups.add(async () => clock.restore());
    const { fault, client } = await startRemote(cleanups, { listTtlSeconds: 0 }, { others: throughVirtual });
    fault.images.addImage('team/app', 'latest');
    for (const repository of ['hub', 'all']) {
      fault.fault('/tags/', { body, ...(link === undefined ? {} : { headers: { link } }), times: 1 });
      const before = fault.count('/tags/');
      for (let i = 0; i < 3; i++) {
        expect((await client.get(`/v2/${repository}/team/app/tags/list`)).status).toBe(503);
      }
      expect(fault.count('/tags/') - before).toBe(1);
      clock.advance(61);
      expect((await client.get(`/v2/${repository}/team/app/tags/list`)).json()).toMatchObject({ tags: ['latest'] });
    }
  });

  it('counts as too long by its size in bytes too', async () => {
    const { fault, client } = await startRemote(cleanups);
    fault.images.addImage('team/app', 'latest');
    const page = JSON.stringify({ tags: [], padding: 'x'.repeat(7 * 1024 * 1024) });
    for (let i = 5; i > 0; i--) {
      fault.fault('/tags/', { body: page, headers: { link: `</v2/team/app/tags/list?p=${i}>; rel="next"` }, times: 1 });
    }
    expect((await client.get('/v2/hub/team/app/tags/list')).status).toBe(503);
    expect(fault.count('/tags/')).toBe(3);
  });
});
