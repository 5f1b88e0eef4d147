import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeManifest,
  digest,
  imageManifest,
  indexManifest,
  pushManifest,
  types,
  type Descriptor,
  type Manifest,
} from '../../support/content/content.js';
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

function entries(answer: Answer): Descriptor[] {
  expect([answer.status, answer.header('content-type')]).toEqual([200, types.ociIndex]);
  expect(answer.header('content-length')).toBe(String(answer.body.length));
  const { manifests, ...rest } = answer.json() as { manifests: Descriptor[] };
  expect(rest).toEqual({ schemaVersion: 2, mediaType: types.ociIndex });
  return manifests;
}

async function list(name: string, subject: string, query = ''): Promise<Descriptor[]> {
  return entries(await client.get(`/v2/${name}/referrers/${subject}${query}`));
}

function sorted(descriptors: readonly Descriptor[]): Descriptor[] {
  return [...descriptors].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

const subject = imageManifest('subject');
const about = { subject: describeManifest(subject) };

describe('referrers', () => {
  it.each([
    ['an image that was never pushed to', 'local/never', digest('x')],
    ['an all-zero digest', 'local/never', `sha256:${'0'.repeat(64)}`],
    ['a sha512 digest', 'local/never', digest('x', 'sha512')],
  ])('of %s are an empty index with 200', async (_title, name, of) => {
    expect(await list(name, of)).toEqual([]);
    expect(await list(name, of, '?artifactType=a/b')).toEqual([]);
    expect(await list(name, of.replace(':', '%3A'))).toEqual([]);
  });

  it('of a subject without referrers are an empty index', async () => {
    await pushManifest(client, 'local/alone', 'x', subject);
    expect(await list('local/alone', subject.digest)).toEqual([]);
  });

  const annotations = { 'org.example.a': '1', empty: '', text: 'ä日本 "\\\n' };
  const plain = imageManifest('plain', about);
  const emptyType = imageManifest('empty type', { ...about, artifactType: '' });
  const typed = imageManifest('typed', { ...about, artifactType: 'application/vnd.a+json', annotations });
  const index = indexManifest([], about);
  const typedIndex = indexManifest([], { ...about, artifactType: 'application/vnd.b', annotations: { x: 'y' } });
  const expected = sorted([
    { ...describeManifest(plain), artifactType: types.ociConfig },
    { ...describeManifest(emptyType), artifactType: types.ociConfig },
    { ...describeManifest(typed), artifactType: 'application/vnd.a+json', annotations },
    describeManifest(index),
    { ...describeManifest(typedIndex), artifactType: 'application/vnd.b', annotations: { x: 'y' } },
  ]);

  it.each([
    ['before the subject is pushed', 'local/before', false],
    ['after the subject is pushed', 'local/after', true],
  ])('are described by type, size and annotations %s', async (_title, name, present) => {
    if (present) await pushManifest(client, name, 'x', subject);
    for (const [i, manifest] of [plain, emptyType, typed, index, typedIndex].entries()) {
      await pushManifest(client, name, i % 2 === 0 ? `t${i}` : manifest.digest, manifest);
    }
    expect(sorted(await list(name, subject.digest))).toEqual(expected);
    expect(await list('local/other', subject.digest)).toEqual([]);
    expect(await list(name, plain.digest)).toEqual([]);
  });

  it.each([
    ['application%2Fvnd.a%2Bjson', [typed]],
    ['application/vnd.a+json', [typed]],
    ['application/vnd.a%20json', [typed]],
    ['application/vnd.b', [typedIndex]],
    [encodeURIComponent(types.ociConfig), [plain, emptyType]],
    ['application/vnd', []],
    ['application/vnd.A+json', []],
    ['nothing/like-it', []],
  ])('are filtered by artifactType=%s, which the answer declares', async (type, matching) => {
    const name = 'local/before';
    const answer = await client.get(`/v2/${name}/referrers/${subject.digest}?artifactType=${type}`);
    expect(answer.header('oci-filters-applied')).toBe('artifactType');
    expect(sorted(entries(answer)).map(({ digest }) => digest)).toEqual(matching.map(({ digest }) => digest).sort());
  });

  it('are neither filtered nor declared as filtered without a filter', async () => {
    const answer = await client.get(`/v2/local/before/referrers/${subject.digest}?ns=docker.io`);
    expect([entries(answer).length, answer.headers['oci-filters-applied']]).toEqual([5, undefined]);
  });

  it('are filtered by any of several types', async () => {
    const query = '?artifactType=application/vnd.b&artifactType=application/vnd.a%2Bjson';
    expect(await list('local/before', subject.digest, query)).toHaveLength(2);
  });

  it('include subjects by sha512 and referrers pushed by sha512', async () => {
    const long = { subject: { ...describeManifest(subject), digest: subject.sha512 } };
    const referrer = imageManifest('long', long);
    await pushManifest(client, 'local/long', referrer.sha512, referrer);
    const [entry] = await list('local/long', subject.sha512);
    expect(entry).toEqual({ ...describeManifest(referrer), digest: referrer.sha512, artifactType: types.ociConfig });
    expect(await list('local/long', subject.digest)).toEqual([]);
  });

  it('leave the list when they are deleted, and stay when their subject is deleted', async () => {
    const [one, two] = [imageManifest('one', about), imageManifest('two', about)];
    await pushManifest(client, 'local/leaving', 'subject', subject);
    await pushManifest(client, 'local/leaving', 'one', one);
    await pushManifest(client, 'local/leaving', 'two', two);
    await client.delete(`/v2/local/leaving/manifests/${one.digest}`);
    expect((await list('local/leaving', subject.digest)).map(({ digest }) => digest)).toEqual([two.digest]);
    await client.delete('/v2/local/leaving/manifests/two');
    expect(await list('local/leaving', subject.digest)).toHaveLength(1);
    await client.delete(`/v2/local/leaving/manifests/${subject.digest}`);
    expect(await list('local/leaving', subject.digest)).toHaveLength(1);
    await client.delete(`/v2/local/leaving/manifests/${two.digest}`);
    expect(await list('local/leaving', subject.digest)).toEqual([]);
  });

  it('are listed once, however often they are pushed', async () => {
    for (const reference of ['a', 'b', plain.digest]) await pushManifest(client, 'local/once', reference, plain);
    expect(await list('local/once', subject.digest)).toHaveLength(1);
  });

  it('may refer to each other, but never to themselves', async () => {
    const signature = imageManifest('signature', { subject: describeManifest(typed) });
    await pushManifest(client, 'local/chain', 'x', typed);
    await pushManifest(client, 'local/chain', 'y', signature);
    expect((await list('local/chain', typed.digest)).map(({ digest }) => digest)).toEqual([signature.digest]);
    expect((await list('local/chain', subject.digest)).map(({ digest }) => digest)).toEqual([typed.digest]);
  });
});

/** Reads all pages of a list, as a client does. */
async function walk(path: string): Promise<Answer[]> {
  const pages: Answer[] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    expect(next).toMatch(/^\/v2\/[^;]*$/);
    const answer = await client.get(next);
    entries(answer);
    pages.push(answer);
    next = answer.next;
    expect(pages.length).toBeLessThan(50);
  }
  return pages;
}

describe('a long list of referrers', () => {
  const referrers = Array.from({ length: 25 }, (_, i) =>
    imageManifest(`many ${i}`, { ...about, artifactType: i % 5 === 0 ? 'a/rare+x' : 'a/common' }),
  );
  beforeAll(async () => {
    await Promise.all(referrers.map((manifest) => pushManifest(client, 'local/many', manifest.digest, manifest)));
  });

  it.each([1, 7, 24, 25, 26])('returns each referrer exactly once in pages of n=%i', async (n) => {
    const pages = await walk(`/v2/local/many/referrers/${subject.digest}?n=${n}`);
    const found = pages.flatMap(entries).map(({ digest }) => digest);
    expect(found.sort()).toEqual(referrers.map(({ digest }) => digest).sort());
    expect(pages).toHaveLength(Math.ceil(25 / n));
  });

  it('returns pages with a filter applied to each page', async () => {
    const pages = await walk(`/v2/local/many/referrers/${subject.digest}?n=4&artifactType=a/rare+x`);
    for (const page of pages) expect(page.header('oci-filters-applied')).toBe('artifactType');
    expect(pages.flatMap(entries)).toHaveLength(5);
  });

  it('returns an empty index for n=0', async () => {
    expect(await list('local/many', subject.digest, '?n=0')).toEqual([]);
  });
});

describe('a list of referrers with large annotations', () => {
  const push = async (name: string, count: number, text: string): Promise<Manifest[]> => {
    const manifests = Array.from({ length: count }, (_, i) =>
      imageManifest(`${name} ${i}`, { ...about, annotations: { text } }),
    );
    // One after the other, because the server reads only a few large bodies at a time.
    for (const manifest of manifests) await pushManifest(client, name, manifest.digest, manifest);
    return manifests;
  };

  it.each([
    ['plain text', 'x'.repeat(60_000)],
    ['text of three bytes a letter', '日'.repeat(20_000)],
    ['text that JSON escapes', '\u0001'.repeat(60_000)],
  ])('is split into pages of at most 1 MiB: %s', async (title, text) => {
    const name = `local/large-${title.length}`;
    const manifests = await push(name, 20, text);
    const pages = await walk(`/v2/${name}/referrers/${subject.digest}`);
    expect(
      pages
        .flatMap(entries)
        .map(({ digest }) => digest)
        .sort(),
    ).toEqual(manifests.map(({ digest }) => digest).sort());
    expect(pages.length).toBeGreaterThan(1);
    for (const { body } of pages) expect(body.length).toBeLessThanOrEqual(1_049_000);
    for (const entry of pages.flatMap(entries)) expect(entry['annotations']).toEqual({ text });
  });
});
