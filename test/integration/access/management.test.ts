import { afterEach, expect, it } from 'vitest';
import {
  basic,
  json,
  manage,
  pushImage,
  startAccess,
  type AccessScene,
  type Ask,
} from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const users = ['root', 'keeper', 'reader'];
const repositories = ['mine', 'other'].map((name) => ({ name, type: 'local' as const }));
const rules = [
  { users: ['root'], allow: ['admin'] as const },
  { names: ['mine', 'managed'], users: ['keeper'], allow: ['admin'] as const },
];
const managed = { name: 'managed', package_type: 'docker', repo_type: 'local' };
const statusOf = async (answer: Promise<Answer>): Promise<number> => (await answer).status;
const start = (options: { readonly storage?: string } = {}): Promise<AccessScene> =>
  startAccess(cleanups, { users, repositories, access: { rules }, ...options });

it('the admin of a repository administers this repository only', async () => {
  const { as } = await start();
  const [root, keeper] = [as(basic('root')), as(basic('keeper'))];
  await manage(root, 'POST', 'repositories', managed);
  for (const name of ['mine', 'other', 'managed']) await pushImage(root, `${name}/app`);
  const list = (await keeper('GET', '/api/v1/repositories')).json() as { repositories: { name: string }[] };
  expect(list.repositories.map(({ name }) => name)).toEqual(['managed', 'mine']);
  expect((await keeper('GET', '/v2/_catalog')).json()).toEqual({ repositories: ['managed/app', 'mine/app'] });
  for (const place of ['', '/images', '/images/app/tags']) {
    expect(await statusOf(keeper('GET', `/api/v1/repositories/mine${place}`))).toBe(200);
    expect(await statusOf(keeper('GET', `/api/v1/repositories/other${place}`))).toBe(403);
  }
  await manage(keeper, 'PUT', 'repositories/managed', { ...managed, description: 'kept' }, 200);
  expect(await statusOf(keeper('DELETE', '/v2/mine/app/manifests/v1'))).toBe(202);
  expect(await statusOf(keeper('DELETE', '/v2/other/app/manifests/v1'))).toBe(403);
  expect(await statusOf(keeper('DELETE', '/api/v1/repositories/managed'))).toBe(204);
  // The name may be his by a rule: making a repository is not.
  const again = { headers: json, body: JSON.stringify(managed) };
  expect(await statusOf(keeper('POST', '/api/v1/repositories', again))).toBe(403);
  expect(await statusOf(keeper('PUT', '/api/v1/repositories/managed', again))).toBe(404);
});

it('the log has a line for each change, with the user, and for nothing else', async () => {
  const { as, server } = await start();
  const root = as(basic('root'));
  const { id } = (await manage(root, 'POST', 'rules', { users: ['reader'], allow: ['pull'] })) as { id: string };
  await manage(root, 'PUT', `rules/${id}`, { users: ['reader'], allow: ['push'] }, 200);
  await root('DELETE', `/api/v1/rules/${id}`);
  await root('DELETE', `/api/v1/rules/${id}`);
  await as(basic('keeper'))('DELETE', '/api/v1/rules/declared-1');
  await root('GET', '/api/v1/rules');
  await root('HEAD', '/api/v1/rules');
  await manage(root, 'POST', 'keys', {});
  const changed = server.log.filter(({ message }) => message === 'changed through the management API');
  const told = (op: string, status: number): object => ({
    level: 'info',
    fields: expect.objectContaining({ op, status, principal: 'root', clientAddress: '127.0.0.1' }) as object,
  });
  expect(changed).toMatchObject([
    told('rule.create', 201),
    told('rule.replace', 200),
    told('rule.delete', 204),
    told('key.rotate', 201),
  ]);
});

it('created rules and accounts apply at once and after a restart, and declared rules cannot be changed', async () => {
  const storage = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(storage));
  const first = await start({ storage });
  const root = first.as(basic('root'));
  const reads = (ask: Ask): Promise<number> => statusOf(ask('GET', '/v2/mine/app/manifests/v1'));
  await pushImage(root, 'mine/app');
  const reader = first.as(basic('reader'));
  expect(await reads(reader)).toBe(403);
  const rule = { names: 'mine', users: ['reader'], groups: ['robots'], allow: ['pull'] };
  const { id } = (await manage(root, 'POST', 'rules', rule)) as { id: string };
  expect(await reads(reader)).toBe(200);
  await manage(root, 'PUT', `rules/${id}`, { ...rule, names: 'other' }, 200);
  expect(await reads(reader)).toBe(403);
  await manage(root, 'PUT', `rules/${id}`, rule, 200);
  await manage(root, 'POST', 'accounts', { name: 'robot', groups: ['robots'] });
  expect(await statusOf(manageOnly(root, 'POST', 'accounts', { name: 'reader' }))).toBe(409);
  const { token } = (await manage(root, 'POST', 'accounts/robot/tokens', {})) as { token: string };
  const jwt = `Bearer ${await first.token('repository:mine/app:pull', basic('robot', token))}`;
  for (const method of ['PUT', 'DELETE'] as const)
    expect(await statusOf(manageOnly(root, method, 'rules/declared-1', rule))).toBe(409);
  await first.server.close();

  const second = await start({ storage });
  for (const authorization of [basic('reader'), basic('robot', token), jwt])
    expect(await reads(second.as(authorization))).toBe(200);
  const shown = (await second.as(basic('root'))('GET', '/api/v1/rules')).json() as {
    rules: { id: string; origin: string }[];
  };
  expect(shown.rules.map(({ id: one, origin }) => [one, origin])).toEqual([
    ['declared-1', 'declared'],
    ['declared-2', 'declared'],
    [id, 'managed'],
  ]);
  expect(await statusOf(second.as(basic('root'))('DELETE', `/api/v1/rules/${id}`))).toBe(204);
  for (const [authorization, refused] of [
    [basic('reader'), 403],
    [basic('robot', token), 403],
    [jwt, 401],
  ] as const)
    expect(await reads(second.as(authorization))).toBe(refused);
});

function manageOnly(ask: Ask, method: 'POST' | 'PUT' | 'DELETE', path: string, document: object): Promise<Answer> {
  return ask(method, `/api/v1/${path}`, { headers: json, body: JSON.stringify(document) });
}
