import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { json } from '../../support/access/access.js';
import { Client, type Answer } from '../../support/clients/client.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;
beforeAll(async () => {
  server = await startRegistry({
    repositories: [{ name: 'local', type: 'local', immutableTags: ['v*'], maxBytes: 5000 }],
    quotas: [
      { names: ['team/**', 'secret/**'], maxBytes: 1000 },
      { names: ['other/**'], maxBytes: 1000 },
    ],
    retention: {
      policies: [
        { names: ['team/ci/**', 'secret/**'], keep: [{ tags: ['**'], newest: 10, usedWithinSeconds: 60 }] },
        { names: ['other/**'] },
        { names: ['**'], untagged: { keepSeconds: 600 }, maxShare: 0.25 },
      ],
    },
  });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const path = '/api/v1/repositories/team';
const document = { name: 'team', package_type: 'docker', repo_type: 'local' };
const put = (more: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  client.put(path, { headers: { ...json, ...headers }, body: JSON.stringify({ ...document, ...more }) });
const remove = (headers: Readonly<Record<string, string>>, query = ''): Promise<Answer> =>
  client.send('DELETE', path + query, { headers });
const tagOf = async (): Promise<string> => (await client.get(path)).header('etag');

describe('the version of a repository', () => {
  let stale: string;
  let present: string;
  beforeEach(async () => {
    await client.send('DELETE', path);
    const created = await client.post('/api/v1/repositories', { headers: json, body: JSON.stringify(document) });
    stale = created.header('etag');
    present = (await put({ description: 'changed' })).header('etag');
  });

  it('is the ETag of a repository, and changes with each change of its settings', async () => {
    expect(stale).toMatch(/^"[0-9a-f]{32}"$/);
    expect(present).toMatch(/^"[0-9a-f]{32}"$/);
    expect(present).not.toBe(stale);
    expect(await tagOf()).toBe(present);
    // What does not change the settings does not change it either.
    expect((await put({ description: 'changed' })).header('etag')).toBe(present);
  });

  const rows: readonly (readonly [title: string, headers: () => Record<string, string>, holds: boolean])[] = [
    ['no condition', () => ({}), true],
    ['If-Match with the present version', () => ({ 'If-Match': present }), true],
    ['If-Match with it among others', () => ({ 'If-Match': `"other", ${present}` }), true],
    ['If-Match: *', () => ({ 'If-Match': '*' }), true],
    ['If-Match with an earlier version', () => ({ 'If-Match': stale }), false],
    ['If-Match with a weak tag', () => ({ 'If-Match': `W/${present}` }), false],
    ['If-None-Match: *', () => ({ 'If-None-Match': '*' }), false],
    ['If-None-Match with the present version', () => ({ 'If-None-Match': present }), false],
    ['If-None-Match with an earlier version', () => ({ 'If-None-Match': stale }), true],
  ];

  it.each(rows)(
    'is a condition: with %s, a PUT changes the settings only if it holds',
    async (_title, headers, holds) => {
      const answer = await put({ description: 'again' }, headers());
      expect(answer.status).toBe(holds ? 200 : 412);
      const { description } = (await client.get(path)).json() as { description: string };
      expect(description).toBe(holds ? 'again' : 'changed');
      if (!holds) expectRefused(answer);
    },
  );

  it.each(rows)(
    'is a condition: with %s, a DELETE and its dry run work only if it holds',
    async (_title, headers, holds) => {
      const preview = await remove(headers(), '?dry_run=true');
      expect(preview.status).toBe(holds ? 200 : 412);
      const answer = await remove(headers());
      expect(answer.status).toBe(holds ? 204 : 412);
      expect((await client.get(path)).status).toBe(holds ? 404 : 200);
      if (!holds) for (const one of [preview, answer]) expectRefused(one);
    },
  );

  function expectRefused(answer: Answer): void {
    const version = present.slice(1, -1);
    expect(answer.json()).toEqual({
      errors: [
        {
          code: 'PRECONDITION_FAILED',
          message: `the If-Match or If-None-Match of the request does not hold: the version of repository "team" is ${version}`,
          detail: { repository: 'team', version },
        },
      ],
    });
  }

  it.each([
    ['PUT', 'x'],
    ['DELETE', '"'],
    ['DELETE', ''],
  ] as const)('is a condition: a %s with the malformed If-Match %j is refused with 400', async (method, value) => {
    const answer = method === 'PUT' ? await put({}, { 'If-Match': value }) : await remove({ 'If-Match': value });
    expect([answer.status, answer.json()]).toMatchObject([400, { errors: [{ code: 'HEADER_INVALID' }] }]);
    expect(await tagOf()).toBe(present);
  });

  it('of a repository that does not exist is 404, even with a condition', async () => {
    await client.send('DELETE', path);
    expect((await put({}, { 'If-Match': present })).status).toBe(404);
    expect((await remove({ 'If-Match': '*' })).status).toBe(404);
  });

  it('keeps every change of 8 administrators who read, change and write with If-Match', async () => {
    const rounds = 3;
    const add = async (word: string): Promise<void> => {
      for (;;) {
        const read = await client.get(path);
        const { description } = read.json() as { description: string };
        const answer = await put({ description: `${description} ${word}` }, { 'If-Match': read.header('etag') });
        if (answer.status === 200) return;
        expect(answer.status).toBe(412);
      }
    };
    const words = Array.from({ length: 8 }, (_, i) => `by-${i}`);
    await Promise.all(
      words.map(async (word) => {
        for (let round = 0; round < rounds; round++) await add(word);
      }),
    );
    const { description } = (await client.get(path)).json() as { description: string };
    for (const word of words) expect(description.split(' ').filter((one) => one === word)).toHaveLength(rounds);
  });
});

describe('the field protection', () => {
  const protectionOf = async (name: string): Promise<unknown> =>
    ((await client.get(`/api/v1/repositories/${name}`)).json() as { protection?: unknown }).protection;
  const untagged = { names: ['**'], untagged: { keep_seconds: 600 }, max_share: 0.25 };
  const limit = { name: 'local', names: ['local/**'], max_bytes: 5000, used_bytes: 0, origin: 'repository' };

  beforeAll(async () => {
    for (const more of [document, { ...document, name: 'hub', repo_type: 'remote', url: 'http://127.0.0.1:1' }]) {
      await client.post('/api/v1/repositories', { headers: json, body: JSON.stringify(more) });
    }
    for (const [name, push] of [
      ['all', { push_to: 'local' }],
      ['read', {}],
    ] as const) {
      const body = JSON.stringify({ name, package_type: 'docker', repo_type: 'virtual', members: ['local'], ...push });
      await client.post('/api/v1/repositories', { headers: json, body });
    }
  });

  it.each([
    ['local', { repository: 'local', immutable: { tags: ['v*'], except: [] }, quotas: [limit], retention: [untagged] }],
    ['all', { repository: 'local', immutable: { tags: ['v*'], except: [] }, quotas: [limit], retention: [untagged] }],
    [
      'team',
      {
        repository: 'team',
        immutable: { tags: [], except: [] },
        quotas: [expect.objectContaining({ names: ['team/**'], max_bytes: 1000, origin: 'declared' })],
        retention: [
          { names: ['team/ci/**'], keep: [{ tags: ['**'], newest: 10, used_within_seconds: 60 }], max_share: 0.5 },
          untagged,
        ],
      },
    ],
    ['hub', undefined],
    ['read', undefined],
  ])('of the repository %s is shown with its settings', async (name, protection) => {
    expect(await protectionOf(name)).toEqual(protection);
  });

  it('is ignored in a document that is read, changed and put back', async () => {
    const read = (await client.get(path)).json() as object;
    expect((await put({ ...read, description: 'put back' })).status).toBe(200);
  });
});
