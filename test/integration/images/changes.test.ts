import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Answer, Client } from '../../support/clients/client.js';
import { digest, imageManifest, pushManifest } from '../../support/content/content.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const json = { 'Content-Type': 'application/json' };
const one = imageManifest('one');
const two = imageManifest('two');
const cached = imageManifest('cached');
let scene: RemoteScene;
let client: Client;

const post = (place: string, body: unknown, headers = json): Promise<Answer> =>
  client.post(`/api/v1/repositories/${place}`, {
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const tags = async (name: string): Promise<readonly string[]> =>
  ((await client.get(`/v2/${name}/tags/list`)).json() as { tags: string[] }).tags;

beforeAll(async () => {
  scene = await startRemote(
    cleanups,
    {},
    {
      others: () => [
        { name: 'loose', type: 'local', sparse: true },
        { name: 'fixed', type: 'local', sparse: true, immutableTags: ['v*'] },
        { name: 'all', type: 'virtual', members: ['loose', 'hub'], pushTo: 'loose' },
        { name: 'closed', type: 'virtual', members: ['loose', 'hub'] },
      ],
    },
  );
  ({ client } = scene);
  scene.fault.images.addManifest('app', cached, 'cached');
  await client.get('/v2/hub/app/manifests/cached');
});
afterAll(() => cleanups.run());

describe('POST …/images/:image/delete', () => {
  it('previews and then deletes tags of an image, and names the member that has the others', async () => {
    for (const tag of ['a', 'b']) await pushManifest(client, 'loose/app', tag, one);
    await pushManifest(client, 'loose/app', 'c', two);
    const asked = scene.fault.requests.length;
    const wanted = { tags: ['a', 'cached', 'absent'], digests: [two.digest] };
    const preview = await post('all/images/app/delete', { ...wanted, dry_run: true });
    const expected = {
      dry_run: true,
      tags: [
        { tag: 'a', digest: one.digest },
        { tag: 'c', digest: two.digest },
      ],
      manifests: [{ digest: two.digest, size_bytes: two.bytes.length }],
      stays: [{ digest: one.digest, because: 'tag', by: 'b' }],
      refused: [
        { tag: 'cached', reason: 'member', by: 'hub', message: 'tag "cached" is in member "hub": delete it there' },
        { tag: 'absent', reason: 'unknown' },
      ],
      counts: { tags: 2, manifests: 1, stays: 1, refused: 2 },
      frees_bytes: two.bytes.length,
    };
    expect(preview.json()).toMatchObject(expected);
    expect(await tags('loose/app')).toEqual(['a', 'b', 'c']);
    const report = await post('all/images/app/delete', wanted);
    expect(report.json()).toMatchObject({ ...expected, dry_run: false });
    expect(await tags('loose/app')).toEqual(['b']);
    expect(scene.fault.requests.length).toBe(asked);
  });

  it.each([
    ['no targets', 'loose/images/app/delete', {}, 400, 'OPTIONS_INVALID'],
    ['all and tags', 'loose/images/app/delete', { all: true, tags: ['a'] }, 400, 'OPTIONS_INVALID'],
    ['a malformed tag', 'loose/images/app/delete', { tags: ['a b'] }, 400, 'OPTIONS_INVALID'],
    ['a malformed digest', 'loose/images/app/delete', { digests: ['sha256:1'] }, 400, 'OPTIONS_INVALID'],
    ['too many tags', 'loose/images/app/delete', { tags: Array(1001).fill('a') }, 400, 'OPTIONS_INVALID'],
    ['an unknown field', 'loose/images/app/delete', { tags: ['b'], force: true }, 400, 'OPTIONS_INVALID'],
    [
      'a dry run that is no boolean',
      'loose/images/app/delete',
      { tags: ['b'], dry_run: 'yes' },
      400,
      'OPTIONS_INVALID',
    ],
    ['a list', 'loose/images/app/delete', [], 400, 'OPTIONS_INVALID'],
    ['no JSON', 'loose/images/app/delete', '{', 400, 'OPTIONS_INVALID'],
    ['an unknown repository', 'absent/images/app/delete', { tags: ['b'] }, 404, 'NAME_UNKNOWN'],
    ['a malformed image', 'loose/images/APP/delete', { tags: ['b'] }, 400, 'NAME_INVALID'],
    ['a cache', 'hub/images/app/delete', { tags: ['cached'] }, 405, 'UNSUPPORTED'],
    ['a virtual repository without a push target', 'closed/images/app/delete', { tags: ['b'] }, 405, 'UNSUPPORTED'],
  ])('refuses %s and deletes nothing', async (_name, place, body, status, code) => {
    const answer = await post(place, body);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
    expect(await tags('loose/app')).toEqual(['b']);
  });

  it('keeps immutable tags and everything that they need', async () => {
    for (const tag of ['v1', 'latest']) await pushManifest(client, 'fixed/app', tag, one);
    await pushManifest(client, 'fixed/app', 'other', two);
    const report = await post('fixed/images/app/delete', { all: true });
    expect(report.json()).toMatchObject({
      tags: [{ tag: 'latest' }, { tag: 'other' }],
      manifests: [{ digest: two.digest }],
      stays: [{ digest: one.digest, because: 'tag', by: 'v1' }],
      refused: [{ tag: 'v1', reason: 'immutable', by: 'v*', message: 'tag "v1" is immutable (pattern "v*")' }],
    });
    expect(await tags('fixed/app')).toEqual(['v1']);
    await pushManifest(client, 'fixed/app', 'other', two);
    const moved = await post('fixed/images/app/tag', { tag: 'v1', reference: 'other' });
    expect([moved.status, moved.codes]).toEqual([403, ['DENIED']]);
    expect((await post('fixed/images/app/tag', { tag: 'v2', reference: 'other' })).status).toBe(200);
  });

  it('refuses a body of another type, as a form of a web page would send it', async () => {
    const answer = await post('loose/images/app/delete', { all: true }, { 'Content-Type': 'text/plain' });
    expect([answer.status, answer.codes]).toEqual([415, ['UNSUPPORTED']]);
  });
});

describe('POST …/images/:image/tag', () => {
  it('moves a tag and moves it back, through a virtual repository too', async () => {
    await pushManifest(client, 'loose/moved', 'v1', one);
    await pushManifest(client, 'loose/moved', 'v2', two);
    const move = (reference: string, expected: string) =>
      post('all/images/moved/tag', { tag: 'v1', reference, expected });
    expect((await move('v2', one.digest)).json()).toEqual({ tag: 'v1', digest: two.digest, was: one.digest });
    const late = await move('v2', one.digest);
    expect([late.status, late.codes]).toEqual([409, ['CONFLICT']]);
    expect(late.json()).toMatchObject({ errors: [{ detail: { tag: 'v1', digest: two.digest } }] });
    expect((await move(one.digest, two.digest)).json()).toMatchObject({ digest: one.digest });
    const created = await post('all/images/moved/tag', { tag: 'v3', reference: 'v1', expected: null });
    expect(created.json()).toEqual({ tag: 'v3', digest: one.digest, was: null });
    expect((await client.get('/v2/loose/moved/manifests/v1')).header('docker-content-digest')).toBe(one.digest);
  });

  const ok = { tag: 'x', reference: 'b' };
  it.each([
    ['no tag', 'loose/images/app/tag', { reference: 'b' }, 400, 'OPTIONS_INVALID'],
    ['no reference', 'loose/images/app/tag', { tag: 'x' }, 400, 'OPTIONS_INVALID'],
    ['a malformed tag', 'loose/images/app/tag', { ...ok, tag: '.x' }, 400, 'OPTIONS_INVALID'],
    ['a malformed expectation', 'loose/images/app/tag', { ...ok, expected: 'b' }, 400, 'OPTIONS_INVALID'],
    ['an unknown field', 'loose/images/app/tag', { ...ok, digest: one.digest }, 400, 'OPTIONS_INVALID'],
    ['an unknown tag', 'loose/images/app/tag', { ...ok, reference: 'absent' }, 404, 'MANIFEST_UNKNOWN'],
    ['an unknown digest', 'loose/images/app/tag', { ...ok, reference: digest('absent') }, 404, 'MANIFEST_UNKNOWN'],
    ['an expectation that does not hold', 'loose/images/app/tag', { ...ok, tag: 'b', expected: null }, 409, 'CONFLICT'],
    ['an unknown repository', 'absent/images/app/tag', ok, 404, 'NAME_UNKNOWN'],
    ['a cache', 'hub/images/app/tag', ok, 405, 'UNSUPPORTED'],
  ])('refuses %s and moves nothing', async (_name, place, body, status, code) => {
    const answer = await post(place, body);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
    expect(await tags('loose/app')).toEqual(['b']);
  });

  it('names the member that has the manifest instead of the push target', async () => {
    const answer = await post('all/images/app/tag', { tag: 'x', reference: 'cached' });
    expect([answer.status, answer.codes]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    expect(answer.json()).toMatchObject({ errors: [{ detail: { member: 'hub' } }] });
  });
});
