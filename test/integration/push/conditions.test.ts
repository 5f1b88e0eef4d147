import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Answer } from '../../support/clients/client.js';
import { imageManifest, pushManifest, type Manifest } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startRegistry({
    repositories: [
      { name: 'local', type: 'local', sparse: true },
      { name: 'all', type: 'virtual', members: ['local'], pushTo: 'local' },
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
const third = imageManifest('third');

function put(name: string, reference: string, manifest: Manifest, headers: Record<string, string>): Promise<Answer> {
  return client.put(url(name, reference), {
    headers: { 'Content-Type': manifest.type, ...headers },
    body: manifest.bytes,
  });
}

async function digestAt(name: string, reference: string): Promise<string | undefined> {
  const answer = await client.head(url(name, reference));
  return answer.status === 404 ? undefined : answer.header('docker-content-digest');
}

function expectFailed(answer: Answer, detail: object): void {
  expect(answer.status).toBe(412);
  expect(answer.json()).toMatchObject({ errors: [{ code: 'PRECONDITION_FAILED', detail }] });
}

/** What a tag that names `first`, or does not exist, answers to a push of `second`. */
const cases: readonly [headers: Record<string, string>, present: 201 | 412, absent: 201 | 412][] = [
  [{ 'If-None-Match': '*' }, 412, 201],
  [{ 'If-None-Match': `"${first.digest}"` }, 412, 201],
  [{ 'If-None-Match': `"${third.digest}"` }, 201, 201],
  [{ 'If-Match': '*' }, 201, 412],
  [{ 'If-Match': `"${first.digest}"` }, 201, 412],
  [{ 'If-Match': `"${third.digest}", "${first.digest}"` }, 201, 412],
  [{ 'If-Match': `"${third.digest}"` }, 412, 412],
  [{ 'If-Match': `W/"${first.digest}"` }, 412, 412],
  [{ 'If-Match': `"${second.digest}"` }, 412, 412],
  [{ 'If-Match': '*', 'If-None-Match': `"${third.digest}"` }, 201, 412],
];

describe.each(['local', 'all'])('conditions of a write to %s', (repository) => {
  it.each(cases)(
    'PUT by tag with %j answers %i for an existing tag and %i for a new one',
    async (headers, ...found) => {
      const name = `${repository}/put-${cases.findIndex(([some]) => some === headers)}-by-${repository}`;
      await pushManifest(client, name, 'old', first);
      for (const [tag, expected] of [['old', found[0]] as const, ['new', found[1]] as const]) {
        const before = tag === 'old' ? first.digest : null;
        const answer = await put(name, tag, second, headers);
        expect(answer.status).toBe(expected);
        if (expected === 412) expectFailed(answer, { tag, digest: before });
        expect(await digestAt(name, tag)).toBe(expected === 412 ? (before ?? undefined) : second.digest);
      }
    },
  );

  it('PUT by digest applies the condition to each tag parameter, and changes none when one fails', async () => {
    const name = `${repository}/several-by-${repository}`;
    await pushManifest(client, name, 'b', first);
    const reference = `${second.digest}?tag=a&tag=b`;
    expectFailed(await put(name, reference, second, { 'If-None-Match': '*' }), { tag: 'b', digest: first.digest });
    expect(await digestAt(name, 'a')).toBeUndefined();
    expect(await digestAt(name, second.digest)).toBeUndefined();
    const answer = await put(name, reference, second, { 'If-None-Match': `"${third.digest}"` });
    expect(answer.status).toBe(201);
    expect([await digestAt(name, 'a'), await digestAt(name, 'b')]).toEqual([second.digest, second.digest]);
  });

  it('PUT by digest without tags applies the condition to the manifest', async () => {
    const name = `${repository}/digest-by-${repository}`;
    expectFailed(await put(name, first.digest, first, { 'If-Match': '*' }), { digest: null });
    expect((await put(name, first.digest, first, { 'If-None-Match': '*' })).status).toBe(201);
    expectFailed(await put(name, first.digest, first, { 'If-None-Match': '*' }), { digest: first.digest });
    expect((await put(name, first.digest, first, { 'If-Match': `"${first.digest}"` })).status).toBe(201);
  });

  it('DELETE of a tag or manifest applies the condition, and answers 404 for an absent one under any condition', async () => {
    const name = `${repository}/deleted`;
    const remove = (reference: string, value: string) =>
      client.send('DELETE', url(name, reference), { headers: { 'If-Match': value } });
    await pushManifest(client, name, 'v1', first);
    expect((await remove('absent', '*')).status).toBe(404);
    expect((await remove(third.digest, '*')).status).toBe(404);
    expectFailed(await remove('v1', `"${second.digest}"`), { tag: 'v1', digest: first.digest });
    expectFailed(await remove(first.digest, `"${second.digest}"`), { digest: first.digest });
    expect((await remove('v1', `"${first.digest}"`)).status).toBe(202);
    expect((await remove(first.digest, '*')).status).toBe(202);
    expect(await digestAt(name, first.digest)).toBeUndefined();
  });
});

it('a malformed condition gets 400 and changes nothing', async () => {
  const name = 'local/malformed';
  await pushManifest(client, name, 'v1', first);
  for (const headers of [{ 'If-Match': first.digest }, { 'If-None-Match': '"' }, { 'If-Match': '' }]) {
    const answer = await put(name, 'v1', second, headers);
    expect([answer.status, answer.codes]).toEqual([400, ['HEADER_INVALID']]);
    const deleted = await client.send('DELETE', url(name, 'v1'), { headers });
    expect([deleted.status, deleted.codes]).toEqual([400, ['HEADER_INVALID']]);
  }
  expect(await digestAt(name, 'v1')).toBe(first.digest);
});

const clients = [1, 2, 3, 4, 5, 6, 7, 8];

it('exactly one of 8 clients that push a new tag with If-None-Match: * wins, and the others learn its digest', async () => {
  for (const round of [1, 2, 3]) {
    const tag = `round-${round}`;
    const manifests = clients.map((number) => imageManifest(`client ${number} in round ${round}`));
    const answers = await Promise.all(
      manifests.map((manifest) => put('local/race', tag, manifest, { 'If-None-Match': '*' })),
    );
    const winner = answers.findIndex(({ status }) => status === 201);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(await digestAt('local/race', tag)).toBe(manifests[winner]?.digest);
    for (const answer of answers) {
      if (answer.status !== 201) expectFailed(answer, { tag, digest: manifests[winner]?.digest ?? '' });
    }
  }
});

it('no update of 8 clients that read, change and write one tag with If-Match is lost', async () => {
  const name = 'local/counter';
  const counter = (lines: readonly string[]) => imageManifest('counter', { annotations: { lines: lines.join(' ') } });
  await pushManifest(client, name, 'latest', counter([]));
  const read = async () => {
    const answer = await client.get(url(name, 'latest'));
    const { annotations } = answer.json() as { annotations: { lines: string } };
    return { etag: answer.header('etag'), lines: annotations.lines.split(' ').filter((line) => line !== '') };
  };
  const append = async (line: string): Promise<void> => {
    for (;;) {
      const { etag, lines } = await read();
      const answer = await put(name, 'latest', counter([...lines, line]), { 'If-Match': etag });
      if (answer.status === 201) return;
      expect(answer.status).toBe(412);
    }
  };
  const work = clients.map(async (number) => {
    for (const step of [1, 2, 3]) await append(`${number}.${step}`);
  });
  await Promise.all(work);
  const { lines } = await read();
  expect([...lines].sort()).toEqual(clients.flatMap((number) => [1, 2, 3].map((step) => `${number}.${step}`)).sort());
});
