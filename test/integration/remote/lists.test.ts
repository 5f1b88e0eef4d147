import { afterEach, describe, expect, it } from 'vitest';
import { digest, imageManifest, pushManifest, types } from '../../support/content/content.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const subject = { mediaType: types.ociImage, digest: digest('subject'), size: 7 };
const tags = ['a', 'b', 'c'];
/** The names of the image `team/app` of the upstream. */
const names = [
  'hub/team/app',
  'prefixed/app',
  'through/team/app',
  'prefixed-through/app',
  'all/team/app',
  'all-through/team/app',
];

/** Starts an upstream with three tags and three referrers, and repositories that reach it in every way. */
async function start(): Promise<RemoteScene> {
  const scene = await startRemote(
    cleanups,
    { listTtlSeconds: 0 },
    {
      others: (url) => [
        { name: 'prefixed', type: 'remote', url: `${url}/team`, listTtlSeconds: 0 },
        { name: 'through', type: 'remote', url, cache: false },
        { name: 'prefixed-through', type: 'remote', url: `${url}/team`, cache: false },
        { name: 'all', type: 'virtual', members: ['local', 'hub'] },
        { name: 'all-through', type: 'virtual', members: ['local', 'through'] },
      ],
    },
  );
  const { images } = scene.fault;
  for (const tag of tags) images.addManifest('team/app', imageManifest(tag, { subject }), tag);
  return scene;
}

async function readTags({ client }: RemoteScene, name: string): Promise<unknown> {
  const answer = await client.get(`/v2/${name}/tags/list`);
  return answer.status === 200 ? (answer.json() as { tags: string[] }).tags : answer.status;
}

async function readReferrers({ client }: RemoteScene, name: string): Promise<unknown> {
  const answer = await client.get(`/v2/${name}/referrers/${subject.digest}`);
  return answer.status === 200 ? (answer.json() as { manifests: unknown[] }).manifests.length : answer.status;
}

describe.each(names)('a list read as %s', (name) => {
  it.each([400, 422])('is requested without n after the upstream refused n=1000 with %s, once', async (status) => {
    const scene = await start();
    scene.fault.fault('n=1000', { status });
    expect(await readTags(scene, name)).toEqual(tags);
    expect(await readTags(scene, name)).toEqual(tags);
    expect(scene.fault.requestsFor('/tags/').map(({ path }) => path)).toEqual([
      '/v2/team/app/tags/list?n=1000',
      '/v2/team/app/tags/list',
      '/v2/team/app/tags/list',
    ]);
  });

  it('is requested with n again when the upstream refuses it without n too', async () => {
    const scene = await start();
    scene.fault.fault('/tags/', { status: 400 });
    expect(await readTags(scene, name)).toBe(503);
    scene.fault.heal();
    expect(await readTags(scene, name)).toEqual(tags);
    expect(scene.fault.requests.at(-1)?.path).toBe('/v2/team/app/tags/list?n=1000');
  });

  it.each([
    ['without the path prefix', '</v2/app/tags/list?n=2&last=a>; rel="next"'],
    ['relative to the URL', '<list?n=2&last=a>; rel=next'],
    ['that is only a query', '<?n=2&last=a>; rel="next"'],
    ['with the scheme https', '<https://127.0.0.1:1/v2/team/app/tags/list?n=2&last=a>; rel="next"'],
    ['to another host', '<http://internal.example/v2/team/app/tags/list?n=2&last=a>; rel="next"'],
    ['with spaces and a fragment', '< /v2/team/app/tags/list?n=2&last=a#top > ; title="x"; rel = next'],
    ['after another one', '</v2/team/app/tags/list?n=2&last=z>; rel="prev", </v2/x?n=2&last=a>; rel="next"'],
    ['to an invalid host', '<http://[/v2/team/app/tags/list?n=2&last=a>; rel="next"'],
    ['to another path', '</artifactory/api/docker/x/v2/team/app/tags/list?n=2&last=a>; rel="next"'],
  ])('goes on at its own path with the query of a Link %s', async (_title, link) => {
    const scene = await start();
    scene.fault.fault('n=1000', { body: '{"name":"team/app","tags":["a"]}', headers: { link } });
    expect(await readTags(scene, name)).toEqual(tags);
    expect(scene.fault.requests.at(-1)?.path).toBe('/v2/team/app/tags/list?n=2&last=a');
  });

  it('continues at its own path after a redirect', async () => {
    const scene = await start();
    scene.fault.images.pageSize = 2;
    scene.fault.images.addImage('moved/app', 'a');
    for (const tag of ['b', 'c']) scene.fault.images.addImage('moved/app', tag);
    scene.fault.fault('/v2/team/app/tags/list?n=1000', { redirect: { to: '/v2/moved/app/tags/list?n=1000' } });
    expect(await readTags(scene, name)).toEqual(tags);
    expect(scene.fault.requests.at(-1)?.path).toBe('/v2/team/app/tags/list?n=2&last=b');
  });

  it('is 503 when its Link repeats itself', async () => {
    const scene = await start();
    scene.fault.fault('/tags/', { headers: { link: '</v2/team/app/tags/list?n=1000>; rel="next"' } });
    expect(await readTags(scene, name)).toBe(503);
    expect(scene.fault.count('/tags/')).toBe(1);
  });

  it.each([404, 401, 403, 500])('is 503 when a page after the first answers %s', async (status) => {
    const scene = await start();
    scene.fault.images.pageSize = 1;
    // With tokens, a 401 or 403 means that access is denied, and not that the upstream failed.
    scene.fault.auth = { type: 'token' };
    await pushManifest(scene.client, 'local/team/app', 'ours', imageManifest('ours'));
    scene.fault.fault(/last=|from=/, { status });
    expect([await readTags(scene, name), await readReferrers(scene, name)]).toEqual([503, 503]);
    scene.fault.heal();
    scene.fault.images.pageSize = 1000;
    expect(await readReferrers(scene, name)).toBe(3);
  });
});
