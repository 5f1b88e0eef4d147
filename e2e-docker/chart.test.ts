import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { describeClient } from './support/client-suite.js';
import { projectRoot, run } from './support/commands.js';

const chart = join(projectRoot, 'adapters/helm/artifactapi');
const stored = join(projectRoot, 'e2e-docker/chart');

describeClient('the Helm chart', ['helm'], () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'chart-'));
    await writeFile(join(folder, 'htpasswd'), '');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function helm(command: string, values: string, ...args: string[]): Promise<string> {
    const home = { HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder, HELM_DATA_HOME: folder };
    const flags = ['--values', join(stored, `${values}.values.yaml`)];
    const { stdout } = await run('helm', [command, ...args, chart, ...flags], { env: { ...process.env, ...home } });
    return stdout;
  }

  /** The objects that the chart creates, without the version, which changes with each release. */
  async function render(values: string): Promise<string> {
    const { version } = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
    return (await helm('template', values, 'registry')).replaceAll(version, 'VERSION');
  }

  test.each(['default', 'ingress', 'existing'])('helm lint accepts the values %s', async (values) => {
    expect(await helm('lint', values, '--strict')).toContain('0 chart(s) failed');
  });

  test.each(['default', 'ingress', 'existing'])('renders the stored objects for the values %s', async (values) => {
    await expect(await render(values)).toMatchFileSnapshot(join(stored, `${values}.rendered.yaml`));
  });

  test('refuses a ServiceMonitor without the account of Prometheus', async () => {
    const rendered = helm('template', 'default', 'registry', '--set', 'serviceMonitor.enabled=true');
    await expect(rendered).rejects.toThrow('serviceMonitor.existingSecret is required');
  });

  test('scrapes the port of server.metrics without an account', async () => {
    const flags = ['serviceMonitor.enabled=true', 'serviceMonitor.port=5001'].flatMap((each) => ['--set', each]);
    const objects = parseAllDocuments(await helm('template', 'default', 'registry', ...flags));
    const specs = objects.map((each) => each.toJS() as MonitoredObject);
    expect(specs.find(({ kind }) => kind === 'ServiceMonitor')?.spec.endpoints).toEqual([
      { targetPort: 'metrics', path: '/metrics', interval: '30s' },
    ]);
    const [container] = specs.find(({ kind }) => kind === 'StatefulSet')?.spec.template?.spec.containers ?? [];
    expect(container?.ports).toContainEqual({ name: 'metrics', containerPort: 5001 });
  });

  test.each(['default', 'ingress'])('check-config accepts the configuration of the values %s', async (values) => {
    const objects = parseAllDocuments(await render(values)).map((document) => document.toJS() as KubernetesObject);
    const text = objects.find(({ kind }) => kind === 'Secret')?.stringData?.['config.yaml'] ?? '';
    const file = join(folder, `${values}.yaml`);
    await writeFile(file, text.replace('/etc/artifactapi-secrets', folder));
    const command = [join(projectRoot, 'dist/command/cli.js'), 'check-config', file];
    const flags = ['--host', '0.0.0.0', '--port', '5000', '--data', join(folder, 'data')];
    const { stdout } = await run(process.execPath, [...command, ...flags], {
      env: { ...process.env, HUB_PASSWORD: 'secret' },
    });
    expect(stdout).toContain('no problems');
  });
});

interface MonitoredObject {
  readonly kind: string;
  readonly spec: {
    readonly endpoints?: readonly unknown[];
    readonly template?: { readonly spec: { readonly containers: readonly { readonly ports: readonly unknown[] }[] } };
  };
}

interface KubernetesObject {
  readonly kind: string;
  readonly stringData?: Readonly<Record<string, string>>;
}
