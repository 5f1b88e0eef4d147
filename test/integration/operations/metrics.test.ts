import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let scene: AccessScene;
let root: Ask;

const rules = [
  { users: ['root'], allow: ['admin' as const] },
  { users: ['watcher'], allow: ['monitor' as const] },
  { names: 'local', users: ['reader'], allow: ['pull' as const] },
];

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'reader', 'watcher'],
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: 'http://127.0.0.1:1', cache: true },
    ],
    access: { rules },
    metrics: true,
  });
  root = scene.as(basic('root'));
  await pushImage(root, 'local/app');
  await scene.as(basic('reader'))('GET', '/v2/local/app/manifests/v1');
  await scene.as(basic('reader', 'wrong'))('GET', '/v2/local/app/manifests/v1');
  await root('GET', '/v2/hub/library/app/manifests/v1');
  await root('POST', '/api/v1/gc');
});
afterAll(() => cleanups.run());

/** Returns the series of a scrape with their values. */
async function scrape(): Promise<ReadonlyMap<string, number>> {
  const answer = await scene.as(basic('watcher'))('GET', '/api/v1/metrics');
  expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  const lines = answer.body.toString().split('\n');
  const samples = lines.filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

describe('GET /api/v1/metrics', () => {
  it.each([
    ['registry_http_requests_total{handler="manifest",method="PUT",code="201"}', 1],
    ['registry_http_requests_total{handler="manifest",method="GET",code="200"}', 1],
    ['registry_http_requests_total{handler="manifest",method="GET",code="401"}', 1],
    ['registry_http_request_duration_seconds_count{handler="manifest",method="PUT"}', 1],
    ['registry_http_response_size_bytes_count{handler="manifest"}', 4],
    ['registry_http_in_flight_requests{handler="management"}', 1],
    ['registry_http_in_flight_requests{handler="manifest"}', 0],
    ['registry_storage_action_seconds_count{driver="custom",action="Commit"}', 2],
    ['registry_storage_action_seconds_count{driver="custom",action="Settle"}', 1],
    ['artifactapi_logins_refused_total{reason="wrong password"}', 1],
    ['artifactapi_garbage_runs_total', 1],
    ['artifactapi_upstream_breaker_open{repository="hub"}', 0],
  ])('counts %s', async (series, value) => {
    const found = await scrape();
    expect(found.get(series), [...found.keys()].join('\n')).toBe(value);
  });

  it('reports stored content and disk space', async () => {
    const found = await scrape();
    expect(found.get('artifactapi_stored_bytes')).toBeGreaterThan(0);
    expect(found.get('artifactapi_disk_size_bytes')).toBeGreaterThanOrEqual(
      Number(found.get('artifactapi_disk_free_bytes')),
    );
    expect([...found.keys()].filter((name) => name.startsWith('artifactapi_info'))).toHaveLength(1);
  });

  it('times writes to the index, by whether they wait for the disk', async () => {
    const found = await scrape();
    const count = (durable: boolean): number =>
      found.get(`artifactapi_index_write_seconds_count{durable="${durable}"}`) ?? 0;
    expect(count(true)).toBeGreaterThan(0);
    expect(found.get('artifactapi_index_write_changes_count')).toBe(count(true) + count(false));
    expect(found.get('artifactapi_index_write_seconds_sum{durable="true"}')).toBeGreaterThan(0);
  });

  it('has the process, which registry.metrics() leaves to its application', async () => {
    const measured = ['process_open_fds', 'nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes'];
    const found = await scrape();
    expect(measured.filter((name) => !found.has(name))).toEqual([]);
    expect([...found.keys()].filter((name) => /^nodejs_active_.*_total$/.test(name))).toEqual([]);
    const text = await scene.server.registry.metrics();
    expect(text).toContain('artifactapi_info');
    expect(text).not.toMatch(/process_|nodejs_/);
  });

  it('has no more series after requests for many images', async () => {
    const ask = (i: number) => root('GET', `/v2/local/team/app${i}/manifests/v1`);
    await ask(0);
    const before = await scrape();
    for (let i = 1; i <= 50; i++) await ask(i);
    // Those of the process depend on what Node did meanwhile.
    const own = (found: ReadonlyMap<string, number>): string[] =>
      [...found.keys()].filter((series) => /^(artifactapi|registry)_/.test(series));
    expect(own(await scrape())).toEqual(own(before));
  });

  it('is for users who may monitor', async () => {
    expect((await scene.as(basic('reader'))('GET', '/api/v1/metrics')).status).toBe(403);
    expect((await scene.ask('GET', '/api/v1/metrics')).status).toBe(401);
  });

  it('has the metrics that the dashboard and the alerts use', async () => {
    const names = new Set([...(await scrape()).keys()].map((series) => series.replace(/\{.*/, '')));
    const known = new Set([...names, ...occasional]);
    const files = ['adapters/grafana/artifactapi.json', 'adapters/prometheus/alerts.yml'];
    for (const file of files) {
      const used = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8').match(
        /\b(?:artifactapi|registry)_[a-z_]+/g,
      );
      expect(used, file).not.toBeNull();
      expect(
        (used ?? []).filter((name) => !known.has(name)),
        file,
      ).toEqual([]);
    }
  });

  it('has the metrics that the documentation lists, and no others', async () => {
    const page = readFileSync(new URL('../../../docs/monitoring.md', import.meta.url), 'utf8');
    const listed = new Set(
      [...page.matchAll(/^\| `((?:artifactapi|registry)_[a-z_]+)/gm)].map(([, name]) => String(name)),
    );
    const answer = await scene.as(basic('watcher'))('GET', '/api/v1/metrics');
    const declared = [...answer.body.toString().matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => String(name));
    const own = declared.filter((name) => !/^(process|nodejs)_/.test(name));
    expect(new Set(own)).toEqual(listed);
  });
});

/** Series that appear with their first event. */
const occasional = [
  'artifactapi_clients_refused_total',
  'registry_notifications_status_total',
  'artifactapi_cache_answers_total',
];

describe('a registry without metrics', () => {
  it('answers 404, and its application gets an error', async () => {
    const { server, as } = await startAccess(cleanups, {
      users: ['root'],
      repositories: [{ name: 'local', type: 'local' }],
      access: { rules: [{ users: ['root'], allow: ['admin'] }] },
    });
    expect((await as(basic('root'))('GET', '/api/v1/metrics')).status).toBe(404);
    await expect(server.registry.metrics()).rejects.toThrow('metrics are off');
  });
});
