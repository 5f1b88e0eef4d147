import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestsDocument, StatisticsDocument } from '../../../src/protocol/documents/monitoring.js';
import { basic, pushImage, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let scene: AccessScene;
let root: Ask;
let reader: Ask;

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'reader', 'watcher', 'outsider'],
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'secret', type: 'local' },
      { name: 'all', type: 'virtual', members: ['local'] },
    ],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['watcher'], allow: ['monitor'] },
        { names: 'local', users: ['reader'], allow: ['pull'] },
      ],
    },
  });
  root = scene.as(basic('root'));
  reader = scene.as(basic('reader'));
  await pushImage(root, 'local/app');
  await pushImage(root, 'secret/app');
  await reader('GET', '/v2/local/app/manifests/v1');
  await reader('GET', '/v2/local/app/manifests/v1');
});
afterAll(() => cleanups.run());

async function statistics(ask: Ask, query = ''): Promise<StatisticsDocument> {
  const answer = await ask('GET', `/api/v1/statistics?${query}`);
  expect(answer.status, answer.body.toString()).toBe(200);
  expect(answer.headers['cache-control']).toBe('no-store');
  return answer.json() as StatisticsDocument;
}

/** Adds up a figure, because an hour may have ended since the requests. */
function sum(document: StatisticsDocument, series: 'pulls' | 'pushes'): number {
  return document.points.reduce((total, point) => total + (point[series] ?? 0), 0);
}

describe('GET /api/v1/statistics', () => {
  it('returns the sums of the repositories that the caller may pull from', async () => {
    const all = await statistics(root);
    expect(all.step_seconds).toBe(3600);
    expect([sum(all, 'pushes'), sum(all, 'pulls')]).toEqual([2, 2]);
    const some = await statistics(reader);
    expect([sum(some, 'pushes'), sum(some, 'pulls')]).toEqual([1, 2]);
    expect(some.points.at(-1)).toMatchObject({ images: 1, hit: 0, miss: 0, stale: 0, upstream_bytes: 0 });
    expect(all.points.at(-1)?.bytes).toBeGreaterThan(Number(some.points.at(-1)?.bytes));
  });

  it('returns each repository on request, and only those that the caller may know of', async () => {
    const { repositories = [] } = await statistics(root, 'split=true&series=pushes&step=day');
    expect(repositories.map(({ name }) => name)).toEqual(['all', 'local', 'secret']);
    expect(Object.keys(repositories[1]?.points[0] ?? {})).toEqual(['at', 'pushes']);
    const shown = await statistics(reader, 'split=true&repository=local');
    expect(shown.repositories?.map(({ name }) => name)).toEqual(['local']);
    expect(JSON.stringify(await statistics(reader, 'split=true'))).not.toContain('secret');
  });

  it('returns no figures of repositories to a user who may not pull anything', async () => {
    expect((await scene.as(basic('outsider'))('GET', '/api/v1/statistics')).status).toBe(403);
  });

  it.each([
    ['series=bytes&series=size', 'series[1]'],
    ['step=minute', 'step'],
    ['split=yes', 'split'],
    ['since=yesterday', 'since'],
    ['since=2026-01-01', 'since'],
    ['since=2999-01-01T00:00:00Z', 'since'],
    ['sinse=2026-01-01T00:00:00Z', 'sinse'],
  ])('refuses ?%s with the path of the problem', async (query, path) => {
    const answer = await root('GET', `/api/v1/statistics?${query}`);
    expect(problemOf(answer)).toEqual([400, 'OPTIONS_INVALID', path]);
  });

  it('answers the same for a hidden repository and for one that does not exist', async () => {
    const hidden = await reader('GET', '/api/v1/statistics?repository=secret');
    const absent = await reader('GET', '/api/v1/statistics?repository=nothing');
    expect(hidden.status).toBe(404);
    expect(hidden.body.toString().replace('secret', 'nothing')).toBe(absent.body.toString());
  });
});

describe('GET /api/v1/requests', () => {
  const ask = async (query = ''): Promise<RequestsDocument> =>
    (await scene.as(basic('watcher'))('GET', `/api/v1/requests?${query}`)).json() as RequestsDocument;

  it('lists the latest requests, and those after a cursor', async () => {
    const { cursor } = await ask();
    await reader('GET', '/v2/local/app/manifests/none');
    const { requests } = await ask(`after=${cursor}&n=2`);
    expect(requests).toMatchObject([
      { op: 'request.list', principal: 'watcher', status: 200 },
      {
        op: 'manifest.get',
        method: 'GET',
        url: '/v2/local/app/manifests/none',
        principal: 'reader',
        status: 404,
        error_code: 'MANIFEST_UNKNOWN',
        client_address: '127.0.0.1',
        at: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        duration_ms: expect.any(Number) as number,
      },
    ]);
    expect((await ask(`after=${cursor}&n=0`)).cursor).toBe(cursor);
  });

  it.each([
    ['after=-1', 'after'],
    ['after=last', 'after'],
  ])('refuses ?%s with the path of the problem', async (query, path) => {
    expect(problemOf(await root('GET', `/api/v1/requests?${query}`))).toEqual([400, 'OPTIONS_INVALID', path]);
  });
});

function problemOf(answer: Answer): readonly unknown[] {
  const [error] = (answer.json() as { errors: { code: string; detail: { path: string }[] }[] }).errors;
  return [answer.status, error?.code, error?.detail[0]?.path];
}
