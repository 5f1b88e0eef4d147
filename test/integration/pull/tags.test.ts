import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushBlob, pushManifest, startUpload } from '../../support/content/content.js';
import { startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startMemoryRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

async function pushTags(name: string, tags: readonly string[]): Promise<void> {
  const manifest = imageManifest(name);
  for (let i = 0; i < tags.length; i += 100) {
    const query = tags.slice(i, i + 100).map((tag) => `tag=${tag}`);
    await pushManifest(client, name, `${manifest.digest}?${query.join('&')}`, manifest);
  }
}

async function list(path: string): Promise<{ tags: string[]; next: string | undefined }> {
  const answer = await client.get(path);
  expect([answer.status, answer.header('content-type')]).toEqual([200, 'application/json']);
  const { tags } = answer.json() as { tags: string[] };
  return { tags, next: answer.next };
}

/** Reads all pages, as a client does. */
async function walk(path: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    expect(next).toMatch(/^\/v2\/[^;]*$/);
    const page = await list(next);
    pages.push(page.tags);
    next = page.next;
    expect(pages.length).toBeLessThan(100);
  }
  return pages;
}

// In byte order: "-", ".", digits, capitals, "_", lower-case letters.
const sorted = [
  '0',
  '1.0',
  '1.0-rc.1',
  '1.0.0',
  '1.0_x',
  '10',
  '2',
  'A',
  'Z',
  '_',
  'a',
  'a-b',
  'a.b',
  'aB',
  'a_b',
  'ab',
  'latest',
  'z',
];

describe('GET tags/list', () => {
  const name = 'local/team/sorted';
  const path = `/v2/${name}/tags/list`;
  beforeAll(() => pushTags(name, sorted.toReversed()));

  it('returns the name that the client used and all tags in byte order', async () => {
    const answer = await client.get(path);
    expect(answer.json()).toEqual({ name, tags: sorted });
    expect(answer.header('content-length')).toBe(String(answer.body.length));
    expect(answer.headers['link']).toBeUndefined();
  });

  it.each([1, 2, 5, sorted.length - 1, sorted.length, 1000])(
    'returns each tag exactly once in pages of %i',
    async (n) => {
      const pages = await walk(`${path}?n=${n}`);
      expect(pages.flat()).toEqual(sorted);
      expect(pages.slice(0, -1).every(({ length }) => length === n)).toBe(true);
      expect(pages).toHaveLength(Math.ceil(sorted.length / n));
    },
  );

  it('returns an empty list without a Link for n=0', async () => {
    for (const query of ['?n=0', '?n=0&last=A']) {
      expect(await list(path + query)).toEqual({ tags: [], next: undefined });
    }
  });

  it.each(sorted)('treats last=%s as exclusive and returns all later tags without n', async (last) => {
    expect((await list(`${path}?last=${last}`)).tags).toEqual(sorted.slice(sorted.indexOf(last) + 1));
  });

  it.each([
    ['B', 'Z'],
    ['1.0.', '1.0.0'],
    ['aA', 'aB'],
    ['!', '0'],
    ['%00', '0'],
    ['', '0'],
    ['zz', undefined],
    ['%7E', undefined],
    ['%C3%A4', undefined],
    ['%F4%8F%BF%BF', undefined],
  ])('continues after last=%s, which is not a tag, at %s', async (last, first) => {
    expect((await list(`${path}?last=${last}`)).tags[0]).toBe(first);
  });

  it("keeps the client's other parameters in its Link", async () => {
    const { next } = await list(`${path}?ns=docker.io&n=2&x=a%3Bb%20c`);
    const query = new URL(next ?? '', server.url).searchParams;
    expect(Object.fromEntries(query)).toEqual({ ns: 'docker.io', n: '2', last: '1.0', x: 'a;b c' });
  });

  it('never shows tags of another image', async () => {
    await pushTags('local/team/sorted/below', ['below']);
    await pushTags('local/team/sorted-2', ['beside']);
    await pushTags('local/team', ['above']);
    expect((await list(path)).tags).toEqual(sorted);
    expect((await list('/v2/local/team/tags/list')).tags).toEqual(['above']);
    expect((await list('/v2/local/team/sorted/below/tags/list?last=a')).tags).toEqual(['below']);
  });

  it('reflects every change at once', async () => {
    await pushTags('local/changing', ['a', 'c']);
    await pushTags('local/changing', ['b']);
    expect((await list('/v2/local/changing/tags/list')).tags).toEqual(['a', 'b', 'c']);
    await client.delete('/v2/local/changing/manifests/a');
    expect((await list('/v2/local/changing/tags/list')).tags).toEqual(['b', 'c']);
    expect((await list('/v2/local/changing/tags/list?n=1')).next).toContain('last=b');
    await client.delete('/v2/local/changing/manifests/c');
    expect(await list('/v2/local/changing/tags/list?n=1')).toEqual({ tags: ['b'], next: undefined });
  });

  it('returns an empty array, never null, for an image without tags', async () => {
    const manifest = imageManifest('untagged');
    await pushManifest(client, 'local/untagged', manifest.digest, manifest);
    expect((await client.get('/v2/local/untagged/tags/list')).json()).toEqual({ name: 'local/untagged', tags: [] });
    expect(await list('/v2/local/untagged/tags/list?n=5&last=x')).toEqual({ tags: [], next: undefined });
  });

  it('answers 404 NAME_UNKNOWN for an image that holds no manifest yet or any more', async () => {
    const check = async (name: string): Promise<void> => {
      for (const query of ['', '?n=0', '?last=a']) {
        const answer = await client.get(`/v2/${name}/tags/list${query}`);
        expect([answer.status, ...answer.codes]).toEqual([404, 'NAME_UNKNOWN']);
      }
    };
    await check('local/never');
    await startUpload(client, 'local/started');
    await check('local/started');
    const manifest = imageManifest('removed');
    await pushManifest(client, 'local/removed', 'x', manifest);
    await client.delete(`/v2/local/removed/manifests/${manifest.digest}`);
    await check('local/removed');
  });

  it('returns an empty list for an image that has blobs but no manifest yet', async () => {
    await pushBlob(client, 'local/blobs-only', Buffer.from('x'));
    expect(await list('/v2/local/blobs-only/tags/list')).toEqual({ tags: [], next: undefined });
  });
});

describe('a list of tags that exceeds the page limit', () => {
  const tags = Array.from({ length: 10_050 }, (_, i) => `t${String(i).padStart(5, '0')}`);
  beforeAll(() => pushTags('local/long', tags));

  it.each(['', '?n=10001', '?n=1000000', '?n=999999999999'])(
    'is clamped with a Link to the rest for the query "%s"',
    async (query) => {
      const pages = await walk(`/v2/local/long/tags/list${query}`);
      expect(pages.map(({ length }) => length)).toEqual([10_000, 50]);
      expect(pages.flat()).toEqual(tags);
    },
  );
});
