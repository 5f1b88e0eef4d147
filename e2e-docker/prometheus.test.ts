import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { describeClient } from './support/client-suite.js';
import { findTool, projectRoot, run } from './support/commands.js';
import { startDaemon, waitForDaemon } from './support/daemon.js';
import { freshImage, startCache } from './support/mirror-bed.js';
import { http, mustBe, RegistryHttp } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';
import { startDistribution, upstreamAccount as account } from './support/upstreams.js';

const rules = join(projectRoot, 'adapters/prometheus/alerts.yml');
const ruleTests = join(projectRoot, 'adapters/prometheus/alerts.test.yml');
const dashboard = join(projectRoot, 'adapters/grafana/artifactapi.json');
const authorization = `Basic ${Buffer.from(`${account.username}:${account.password}`).toString('base64')}`;

interface RuleFile {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string }[] }[];
}

interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts?: readonly object[] }[];
  }[];
}

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
}

describeClient('promtool', ['promtool'], () => {
  test('accepts the alert rules', async () => {
    expect((await run('promtool', ['check', 'rules', '--lint-fatal', rules])).stdout).toContain('SUCCESS');
  });

  test('passes the unit tests of the alert rules, which show each alert firing and not firing', async () => {
    expect((await run('promtool', ['test', 'rules', ruleTests])).stdout).toContain('SUCCESS');
    const { groups } = parse(await readFile(rules, 'utf8')) as RuleFile;
    const { tests } = parse(await readFile(ruleTests, 'utf8')) as RuleTests;
    const cases = tests.flatMap((one) => one.alert_rule_test);
    const names = (fires: boolean): string[] => [
      ...new Set(cases.filter((one) => (one.exp_alerts !== undefined) === fires).map(({ alertname }) => alertname)),
    ];
    const alerts = groups.flatMap((group) => group.rules.map(({ alert }) => alert)).toSorted();
    expect(alerts.length).toBeGreaterThan(0);
    expect([names(true).toSorted(), names(false).toSorted()]).toEqual([alerts, alerts]);
  });
});

describeClient('Prometheus', ['prometheus', 'promtool', 'docker-registry'], () => {
  let workspace: Workspace;
  let origin: string;
  let prometheus: string;

  beforeAll(async () => {
    workspace = await openWorkspace();
    origin = await startLoaded(workspace);
    prometheus = await startPrometheus(workspace, origin);
  });
  afterAll(() => workspace?.close());

  test('promtool accepts the metrics of a registry under load', async () => {
    await load(origin);
    const { body } = mustBe(200, await http(`${origin}/api/v1/metrics`, { headers: { authorization } }), 'scrape');
    const file = join(workspace.folder, 'metrics.txt');
    await writeFile(file, body);
    // promtool reads metrics only from its input.
    const { stderr } = await run('sh', ['-c', 'exec promtool check metrics <"$0"', file], { env: workspace.env });
    expect(stderr).toBe('');
  });

  test('evaluates the alert rules without an error', async () => {
    const healths = async (): Promise<string[]> => {
      const { groups } = await ask<{ groups: { rules: { health: string }[] }[] }>(prometheus, '/api/v1/rules');
      return [...new Set(groups.flatMap((group) => group.rules.map(({ health }) => health)))];
    };
    await expect.poll(healths).toEqual(['ok']);
  });

  test('has data for every query of the dashboard while the registry is under load', async () => {
    const { panels } = JSON.parse(await readFile(dashboard, 'utf8')) as Dashboard;
    const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(queries.length).toBeGreaterThan(10);
    const withoutData = async (): Promise<string[]> => {
      await load(origin);
      const found = await Promise.all(queries.map((query) => hasData(prometheus, query)));
      return queries.filter((_query, i) => found[i] !== true);
    };
    await expect.poll(withoutData, { timeout: 120_000, interval: 500 }).toEqual([]);
  });
});

/** Starts a registry with a cache of another one and a webhook. */
async function startLoaded(workspace: Workspace): Promise<string> {
  const upstream = await startDistribution(join(workspace.folder, 'upstream'));
  workspace.onClose(() => upstream.stop());
  const passwords = join(workspace.folder, 'htpasswd');
  await writeFile(passwords, `${account.line}\n`);
  const server = await startCache(workspace, {
    config: {
      repositories: [
        { name: 'local', type: 'local' },
        { name: 'hub', type: 'remote', url: upstream.origin, cache: true },
      ],
      trustedProxies: ['127.0.0.1'],
      limits: { maxRequestsPerMinutePerClient: 100 },
      access: { htpasswd: passwords, rules: [{ users: [account.username], allow: ['admin'] }] },
      // Answers 404.
      webhooks: [
        { name: 'sink', url: `${upstream.origin}/hook`, secret: 'of-24-characters-or-more', events: ['push'] },
      ],
    },
  });
  await new RegistryHttp(upstream.origin).pushImage('app', 'v1', await freshImage());
  return server.origin;
}

/** Starts Prometheus, which scrapes the registry each second and evaluates the alerts. Returns its origin. */
async function startPrometheus(workspace: Workspace, origin: string): Promise<string> {
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: [
      {
        job_name: 'artifactapi',
        metrics_path: '/api/v1/metrics',
        basic_auth: { username: account.username, password: account.password },
        static_configs: [{ targets: [new URL(origin).host] }],
      },
    ],
  };
  const file = join(workspace.folder, 'prometheus.yml');
  await writeFile(file, JSON.stringify(config));
  const flags = [`--config.file=${file}`, `--storage.tsdb.path=${join(workspace.folder, 'series')}`];
  const daemon = startDaemon(findTool('prometheus') ?? '', [...flags, '--web.listen-address=127.0.0.1:0'], {
    logFile: join(workspace.folder, 'prometheus.log'),
  });
  workspace.onClose(() => daemon.end());
  const address = /msg="Listening on" address=(\S+)/;
  return `http://${await waitForDaemon(daemon, () => address.exec(daemon.output())?.[1])}`;
}

let loads = 0;

/** Pushes, pulls and misses as a new client each time, and as another one that is refused after its third time. */
async function load(origin: string): Promise<void> {
  const client = `198.51.100.${(loads += 1)}`;
  const registry = new RegistryHttp(origin, undefined, { authorization, 'x-forwarded-for': client });
  const image = await freshImage();
  await registry.pushImage('local/app', 'v1', image);
  await registry.pullImage('local/app', 'v1', image);
  for (const reference of ['v1', 'v1', 'missing']) await registry.send(`/v2/hub/app/manifests/${reference}`);
  const wrong = `Basic ${Buffer.from('nobody:wrong').toString('base64')}`;
  const guess = (): Promise<unknown> =>
    registry.send('/v2/', { headers: { authorization: wrong, 'x-forwarded-for': '192.0.2.1' } });
  for (let i = 0; i < 40; i++) await guess();
}

async function ask<T>(prometheus: string, path: string): Promise<T> {
  const { body } = await http(`${prometheus}${path}`);
  const { data, error } = JSON.parse(body.toString()) as { data?: T; error?: string };
  if (data === undefined) throw new Error(`${path}: ${error}`);
  return data;
}

/** Returns whether a query has values now. A rate must be above 0, since the load is there to be seen. */
async function hasData(prometheus: string, query: string): Promise<boolean> {
  const path = `/api/v1/query?query=${encodeURIComponent(query)}`;
  const { result } = await ask<{ result: { value: [number, string] }[] }>(prometheus, path);
  const values = result.map(({ value }) => Number(value[1]));
  return values.some((value) => (query.includes('rate(') ? value > 0 : Number.isFinite(value)));
}
