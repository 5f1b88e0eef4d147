import { afterEach, describe, expect, it } from 'vitest';
import { digest, imageManifest, types } from '../support/content.js';
import { Cleanups, startRemote } from '../support/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const subject = { mediaType: types.ociImage, digest: digest('subject'), size: 7 };

describe('a page of 200 referrers', () => {
  it.each(['all', 'hub'])('through %s asks its upstream for the list once', async (repository) => {
    const { fault, client } = await startRemote(
      cleanups,
      { listTtlSeconds: 0 },
      {
        others: (url) => [
          { name: 'pass', type: 'remote', url, cache: false },
          { name: 'all', type: 'virtual', members: ['pass'] },
        ],
      },
    );
    for (let i = 0; i < 200; i++) fault.images.addManifest('team/app', imageManifest(`signature ${i}`, { subject }));
    const answer = await client.get(`/v2/${repository}/team/app/referrers/${subject.digest}`);
    expect((answer.json() as { manifests: unknown[] }).manifests).toHaveLength(200);
    // Before: 13 times, once for each 16 of them.
    expect(fault.count('/referrers/')).toBe(1);
  });

  it('ends before 3 MiB and goes on by its Link, wherever the referrers come from', async () => {
    const { fault, client } = await startRemote(
      cleanups,
      {},
      {
        others: () => [{ name: 'all', type: 'virtual', members: ['hub', 'local'] }],
      },
    );
    const annotations = { text: 'x'.repeat(100_000) };
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
    expect(Math.max(...sizes)).toBeLessThan(3.2 * 1024 * 1024);
    expect(sizes.length).toBe(2);
  });
});

describe('a list of an upstream that is too long', () => {
  it('is a failed upstream, and no page after the bound is asked for', async () => {
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
    // Before: a million items in up to 1000 pages.
    expect(fault.count('/tags/')).toBe(201);
  });

  it('by its bytes too', async () => {
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
