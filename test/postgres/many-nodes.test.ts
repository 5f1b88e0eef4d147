import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer, Method, Send } from '../support/clients/client.js';
import { basic, htpasswdOf, json, manage, type Ask } from '../support/access/access.js';
import { startFaultUpstream } from '../support/upstreams/fault-upstream.js';
import { pushSmallImage } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createNodes, type Node, type Nodes } from './nodes.js';

let nodes: Nodes;
beforeEach(async () => {
  nodes = await createNodes();
});
afterEach(() => nodes.stop());

/** Returns a function that sends requests to a node as a user. */
function as(node: Node, authorization: string): Ask {
  return (method: Method, path: string, { headers, ...send }: Send = {}): Promise<Answer> =>
    node.client.send(method, path, { ...send, headers: { Authorization: authorization, ...headers } });
}

describe('repositories that one node changes', () => {
  const repository = (ask: Ask, method: Method, name: string, document: object, headers: Send['headers'] = {}) =>
    ask(method, `/api/v1/repositories${method === 'POST' ? '' : `/${name}`}`, {
      headers: { ...json, ...headers },
      body: JSON.stringify({ package_type: 'docker', name, ...document }),
    });
  const askOf =
    (node: Node): Ask =>
    (method, path, send) =>
      node.client.send(method, path, send);

  it('are served, changed and gone on the other within a second', async () => {
    const [a, b] = [await nodes.start(), await nodes.start()];
    expect((await repository(askOf(a), 'POST', 'team', { repo_type: 'local' })).status).toBe(201);
    await expect.poll(() => b.registry.registry.repositories.get('team')).toBeDefined();
    await pushSmallImage(b.client, 'team/app', '1');
    expect((await a.client.get('/v2/team/app/manifests/1')).status).toBe(200);
    const answer = await repository(askOf(a), 'PUT', 'team', { repo_type: 'local', description: 'ours' });
    expect(answer.status).toBe(200);
    const described = async (): Promise<unknown> => (await b.client.get('/api/v1/repositories/team')).json();
    await expect.poll(described).toMatchObject({ description: 'ours' });
    expect((await b.client.delete('/api/v1/repositories/team')).status).toBe(204);
    await expect.poll(async () => (await a.client.get('/v2/team/app/manifests/1')).codes).toEqual(['NAME_UNKNOWN']);
    // The name is free on both, and the next repository of that name begins empty.
    expect((await repository(askOf(a), 'POST', 'team', { repo_type: 'local' })).status).toBe(201);
    await expect.poll(() => b.registry.registry.repositories.get('team')).toBeDefined();
    expect((await b.client.get('/v2/team/app/tags/list')).status).toBe(404);
  });

  it('of one name that two create at the same time have one winner, and the other gets 409', async () => {
    const both = [await nodes.start(), await nodes.start()];
    for (const name of ['one', 'two', 'three']) {
      const answers = await Promise.all(
        both.map((node) => repository(askOf(node), 'POST', name, { repo_type: 'local' })),
      );
      expect(answers.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([201, 409]);
    }
  });

  it('keep a change that another node made since the version in If-Match', async () => {
    const [a, b] = [await nodes.start(), await nodes.start()];
    const created = await repository(askOf(a), 'POST', 'team', { repo_type: 'local' });
    const match = { 'If-Match': created.header('etag') };
    await expect.poll(() => b.registry.registry.repositories.get('team')).toBeDefined();
    const attempts = [a, b].map((node, i) =>
      repository(askOf(node), 'PUT', 'team', { repo_type: 'local', description: `by ${i}` }, match),
    );
    const answers = await Promise.all(attempts);
    expect(answers.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([200, 412]);
    const winner = answers.findIndex(({ status }) => status === 200);
    expect((await a.client.get('/api/v1/repositories/team')).json()).toMatchObject({ description: `by ${winner}` });
  });

  it('never become members of each other, or of one that is gone, by two changes at the same time', async () => {
    const [a, b] = [await nodes.start(), await nodes.start()];
    const virtual = (...members: string[]) => ({ repo_type: 'virtual', members });
    for (let round = 0; round < 5; round += 1) {
      const [x, y] = [`x${round}`, `y${round}`];
      expect((await repository(askOf(a), 'POST', x, virtual('local'))).status).toBe(201);
      expect((await repository(askOf(b), 'POST', y, virtual('local'))).status).toBe(201);
      const both = [repository(askOf(a), 'PUT', x, virtual(y)), repository(askOf(b), 'PUT', y, virtual(x))];
      const statuses = (await Promise.all(both)).map(({ status }) => status);
      expect(statuses.toSorted((one, other) => one - other)).toEqual([200, 400]);
    }
  });
});

it('a purge of a cache on one node makes the other forget what its upstream did not have', async () => {
  const upstream = await startFaultUpstream();
  const hub = { name: 'hub', type: 'remote', url: upstream.url, negativeTtlSeconds: 3600 } as const;
  try {
    const [a, b] = [await nodes.start({ repositories: [hub] }), await nodes.start({ repositories: [hub] })];
    const pull = async () => (await b.client.get('/v2/hub/team/app/manifests/v1')).status;
    expect(await pull()).toBe(404);
    upstream.images.addImage('team/app', 'v1');
    expect(await pull()).toBe(404);
    expect((await a.client.delete('/api/v1/repositories/hub/cache?image=team/app')).status).toBe(200);
    await expect.poll(pull).toBe(200);
  } finally {
    await upstream.close();
  }
});

describe('rules, tokens and users that one node changes', () => {
  let folder: string;
  let htpasswd: string;
  beforeEach(async () => {
    folder = await makeScratchFolder();
    htpasswd = join(folder, 'users');
    await writeFile(htpasswd, htpasswdOf(['root', 'ann']));
  });
  afterEach(() => removeScratchFolder(folder));
  const access = () => ({ htpasswd, rules: [{ users: ['root'], allow: ['admin' as const] }] });

  it('a token that one node creates works on the others at once, and is refused by all within a second once revoked', async () => {
    const all: Node[] = [];
    for (let i = 0; i < 3; i += 1) all.push(await nodes.start({ access: access() }));
    const [first, second] = all as [Node, Node, Node];
    const root = as(first, basic('root'));
    await manage(root, 'POST', 'accounts', { name: 'robot' });
    const made = (await manage(root, 'POST', 'accounts/robot/tokens', { description: 'ci' })) as {
      id: string;
      token: string;
    };
    const statuses = () =>
      Promise.all(all.map(async (node) => (await as(node, basic('robot', made.token))('GET', '/v2/')).status));
    expect(await statuses()).toEqual([200, 200, 200]);
    const revoked = await as(second, basic('root'))('DELETE', `/api/v1/accounts/robot/tokens/${made.id}`);
    expect(revoked.status).toBe(204);
    await expect.poll(statuses, { timeout: 5000, interval: 20 }).toEqual([401, 401, 401]);
  });

  it('a bearer token of one node is accepted by the other, also after a rotation of the key', async () => {
    const [a, b] = [await nodes.start({ access: access() }), await nodes.start({ access: access() })];
    const tokenOf = async (node: Node): Promise<string> => {
      const answer = await as(node, basic('root'))('GET', '/v2/token?scope=repository:local/app:pull');
      return (answer.json() as { token: string }).token;
    };
    const image = '/v2/local/app/tags/list';
    expect((await as(b, `Bearer ${await tokenOf(a)}`)('GET', image)).status).toBe(404);
    await manage(as(a, basic('root')), 'POST', 'keys', {}, 201);
    expect((await as(b, `Bearer ${await tokenOf(a)}`)('GET', image)).status).toBe(404);
    expect((await as(a, `Bearer ${await tokenOf(b)}`)('GET', image)).status).toBe(404);
  });

  it('a rule that one node creates and deletes applies on the other within a second', async () => {
    const [a, b] = [await nodes.start({ access: access() }), await nodes.start({ access: access() })];
    const asked = async (): Promise<number> => (await as(b, basic('ann'))('GET', '/v2/local/app/tags/list')).status;
    expect(await asked()).toBe(403);
    const rule = { users: ['ann'], allow: ['pull'], names: 'local/**' };
    const { id } = (await manage(as(a, basic('root')), 'POST', 'rules', rule)) as { id: string };
    await expect.poll(asked, { interval: 20 }).toBe(404);
    expect((await as(a, basic('root'))('DELETE', `/api/v1/rules/${id}`)).status).toBe(204);
    await expect.poll(asked, { interval: 20 }).toBe(403);
  });

  it('wrong passwords on three nodes count together, and a burst on the others slows down the third', async () => {
    const all: Node[] = [];
    for (let i = 0; i < 3; i += 1) all.push(await nodes.start({ access: access() }));
    const guess = async (node: number, password: string): Promise<number> => {
      const asked = all[node] ?? expect.fail('no such node');
      return (await as(asked, basic('ann', password))('GET', '/v2/')).status;
    };
    for (let i = 0; i < 20; i += 1) expect(await guess(i % 2, `wrong ${i}`)).toBe(401);
    // The third node has seen no failure: more guesses than may wait at once are refused there.
    const guesses = await Promise.all(Array.from({ length: 6 }, (_, i) => guess(2, `another ${i}`)));
    expect(guesses.toSorted((one, other) => one - other)).toEqual([401, 401, 401, 401, 429, 429]);
    expect(await as(all[2] as Node, basic('root'))('GET', '/v2/').then(({ status }) => status)).toBe(200);
  });
});
