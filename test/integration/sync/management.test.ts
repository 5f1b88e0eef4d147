import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.js';
import { json } from '../../support/access/access.js';
import type { Answer, Method } from '../../support/clients/client.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { startSync, type SyncScene } from '../../support/upstreams/sync-scene.js';

const cleanups = new Cleanups();
const declared = { name: 'declared', from: 'hub', to: 'mirror', images: ['app'], everySeconds: 0 } as const;
const plain = { name: 'new', from: 'hub', to: 'mirror', images: ['app'] };
let scene: SyncScene;
const send = (method: Method, path: string, document?: object): Promise<Answer> =>
  scene.client.send(method, `/api/v1/${path}`, {
    headers: json,
    ...(document === undefined ? {} : { body: JSON.stringify(document) }),
  });

beforeAll(async () => {
  scene = await startSync(cleanups, { sync: [declared] });
  await scene.define({ ...plain, name: 'managed' }, 'managed');
});
afterAll(() => cleanups.run());

it.each<[string, Method, string, object | undefined, number, string, object?]>([
  ['a name that is taken', 'POST', 'syncs', { ...plain, name: 'managed' }, 409, 'CONFLICT'],
  ['the name of a declared sync', 'POST', 'syncs', { ...plain, name: 'declared' }, 409, 'CONFLICT'],
  ['a change of a declared sync', 'PUT', 'syncs/declared', { ...plain, name: 'declared' }, 409, 'CONFLICT'],
  ['the deletion of a declared sync', 'DELETE', 'syncs/declared', undefined, 409, 'CONFLICT'],
  ['a change of an unknown sync', 'PUT', 'syncs/none', { ...plain, name: 'none' }, 404, 'NOT_FOUND'],
  ['the deletion of an unknown sync', 'DELETE', 'syncs/none', undefined, 404, 'NOT_FOUND'],
  ['a read of an unknown sync', 'GET', 'syncs/none', undefined, 404, 'NOT_FOUND'],
  ['a read of what is no name', 'GET', 'syncs/No', undefined, 404, 'NOT_FOUND'],
  ['another name', 'PUT', 'syncs/managed', plain, 400, 'OPTIONS_INVALID', [{ path: 'name', problem: 'cannot change' }]],
  [
    'unsuitable repositories',
    'POST',
    'syncs',
    { ...plain, from: 'mirror', to: 'hub' },
    400,
    'OPTIONS_INVALID',
    [
      { path: 'from', problem: '"mirror" is not a remote repository' },
      { path: 'to', problem: '"hub" is not a local repository' },
    ],
  ],
  [
    'tags and a range',
    'POST',
    'syncs',
    { ...plain, tags: ['*'], semver: '1' },
    400,
    'OPTIONS_INVALID',
    [{ path: 'semver', problem: 'must not be set together with tags' }],
  ],
  [
    'settings in camel case',
    'POST',
    'syncs',
    { ...plain, everySeconds: 60 },
    400,
    'OPTIONS_INVALID',
    [{ path: 'everySeconds', problem: 'unknown option "everySeconds": use "every_seconds"' }],
  ],
  [
    'an interval that is too short',
    'POST',
    'syncs',
    { ...plain, every_seconds: 5 },
    400,
    'OPTIONS_INVALID',
    [{ path: 'every_seconds', problem: 'must be 0, or at least 60' }],
  ],
  ['a list', 'POST', 'syncs', [], 400, 'OPTIONS_INVALID', [{ path: '', problem: 'must be a JSON object' }]],
  [
    'a run of an unknown sync',
    'POST',
    'jobs',
    { kind: 'sync', sync: 'none' },
    400,
    'OPTIONS_INVALID',
    [{ path: 'sync', problem: 'unknown sync "none"' }],
  ],
  [
    'a run without a sync',
    'POST',
    'jobs',
    { kind: 'sync' },
    400,
    'OPTIONS_INVALID',
    [{ path: 'sync', problem: 'is required' }],
  ],
])('the management API of syncs refuses %s', async (_title, method, path, document, status, code, detail) => {
  const before = (await send('GET', 'syncs')).body;
  const answer = await send(method, path, document);
  expect([answer.status, answer.codes]).toEqual([status, [code]]);
  if (detail !== undefined)
    expect((answer.json() as { errors: [{ detail: unknown }] }).errors[0].detail).toEqual(detail);
  expect((await send('GET', 'syncs')).body.equals(before)).toBe(true);
});

it('a sync is created, read, replaced and deleted', async () => {
  const created = await send('POST', 'syncs', { ...plain, every_seconds: 0 });
  expect([created.status, created.header('location')]).toEqual([201, '/api/v1/syncs/new']);
  expect(created.json()).toEqual({
    ...plain,
    referrers: false,
    delete: false,
    every_seconds: 0,
    origin: 'managed',
    status: {},
  });
  const replaced = await send('PUT', 'syncs/new', { ...(created.json() as object), tags: ['v*'] });
  expect(replaced.json()).toMatchObject({ tags: ['v*'] });
  expect((await send('GET', 'syncs/new')).json()).toEqual(replaced.json());
  expect((await send('DELETE', 'syncs/new')).status).toBe(204);
  expect((await send('GET', 'syncs/new')).status).toBe(404);
});

it('the documents in docs/sync.md create a sync and run it', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../../docs/sync.md'), 'utf8');
  const requests = [...page.matchAll(/https:\/\/registry\.example\/api\/v1\/(\w+)[\s\\]+-d '([^']+)'/g)];
  const statuses: (string | number)[] = [];
  for (const [, place = '', text = ''] of requests) {
    const { status } = await send('POST', place, JSON.parse(text) as object);
    statuses.push(place, status);
  }
  expect(statuses).toEqual(['syncs', 201, 'jobs', 202]);
  await eventually(async () => {
    expect((await send('GET', 'syncs/tools')).json()).toMatchObject({ status: { last_run: { state: 'partly' } } });
  });
});

it('a run fails when a repository of the sync was deleted in the meantime', async () => {
  const target = { name: 'temporary', package_type: 'docker', repo_type: 'local' };
  expect((await send('POST', 'repositories', target)).status).toBe(201);
  expect((await send('POST', 'syncs', { ...plain, name: 'lost', to: 'temporary', every_seconds: 0 })).status).toBe(201);
  expect((await send('DELETE', 'repositories/temporary')).status).toBe(204);
  const job = await scene.run({ sync: 'lost' });
  expect(job).toMatchObject({ state: 'failed', error: '"temporary" is not a local repository' });
  expect((await send('GET', 'syncs/lost')).json()).toMatchObject({
    status: { last_run: { job: job.id, state: 'failed', error: '"temporary" is not a local repository' } },
  });
});
