import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { resolveServeSettings, type ServeSettings } from '../../../src/command/serve/serve-settings.js';

const root = path.join(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const readExample = (file: string): string => read(`examples/container/${file}`);

/** Returns the settings of the image's process when a config file with this text is mounted. */
const settingsOf = (text: string): ServeSettings =>
  resolveServeSettings({ host: '0.0.0.0', port: 5000, data: '/data' }, { path: configPath, text }, {});

const dockerfile = read('Dockerfile');
const instruction = (name: string): string =>
  new RegExp(`^${name} ((?:.*\\\\\\n)*.*)`, 'm').exec(dockerfile.slice(dockerfile.lastIndexOf('\nFROM ')))?.[1] ?? '';
const [, configPath = ''] = JSON.parse(instruction('CMD')) as string[];

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Container {
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext: object;
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
}

interface Pod {
  readonly securityContext: object;
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly [Container];
  readonly volumes: readonly Readonly<Record<string, unknown>>[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data: Readonly<Record<string, string>>;
  readonly spec: {
    readonly replicas: number;
    readonly strategy: object;
    readonly selector: { readonly matchLabels: object };
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: Pod };
  };
}

describe('the Dockerfile', () => {
  it.each([
    ['USER', '1000:1000'],
    ['VOLUME', '/data'],
    ['EXPOSE', '5000'],
  ])('has %s %s', (name, value) => {
    expect(instruction(name)).toBe(value);
  });

  it('builds on a Node release that CI runs the tests on', () => {
    const [, release = ''] = /^ARG BASE_IMAGE=node:(\d+)-slim$/m.exec(dockerfile) ?? [];
    expect(/for version in ([\d ]+);/.exec(read('.ci/run'))?.[1]?.split(' ')).toContain(release);
  });

  it('starts node itself, so that node receives the signals', () => {
    const [program, , ...args] = JSON.parse(instruction('ENTRYPOINT')) as string[];
    expect(program).toBe('node');
    expect(args).toEqual(['serve', '--host', '0.0.0.0', '--port', '5000', '--data', '/data']);
  });

  it('checks /readyz for its health, without a shell', () => {
    const [program = '', , script] = JSON.parse(instruction('HEALTHCHECK').split('CMD ')[1] ?? '') as string[];
    expect(program).toBe('node');
    expect(script).toContain('http://127.0.0.1:5000/readyz');
  });
});

describe('examples/container/config.yaml', () => {
  it('is accepted, and admits only named users', () => {
    const { access } = settingsOf(readExample('config.yaml'));
    expect(access).toMatchObject({ htpasswd: '/etc/artifactapi/htpasswd' });
    expect(readExample('config.yaml')).not.toContain('anonymous');
  });
});

describe('examples/container/compose.yaml', () => {
  const { services } = parse(readExample('compose.yaml')) as {
    services: Record<'registry' | 'nginx', Readonly<Record<string, unknown>>>;
  };

  it('confines the registry and mounts its files where it looks for them', () => {
    expect(services.registry).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
    const targets = (services.registry['volumes'] as string[]).map((mount) => mount.split(':')[1]);
    expect(targets).toEqual(['/data', configPath, '/etc/artifactapi/htpasswd']);
  });

  it('publishes only nginx, which reaches the registry by its service name', () => {
    expect(services.registry).not.toHaveProperty('ports');
    expect(services.nginx).toHaveProperty('ports', ['443:443']);
    expect(readExample('nginx.conf')).toContain('proxy_pass http://registry:5000;');
  });

  it('replaces the X-Forwarded-For that clients send', () => {
    expect(readExample('nginx.conf')).toContain('proxy_set_header X-Forwarded-For $remote_addr;');
  });

  it('allows more time for a stop than requests in flight have', () => {
    const { stopSeconds } = settingsOf(readExample('config.yaml'));
    expect(Number.parseInt(String(services.registry['stop_grace_period']), 10)).toBeGreaterThan(stopSeconds);
  });
});

describe('examples/container/kubernetes.yaml', () => {
  const documents = parseAllDocuments(readExample('kubernetes.yaml'));
  const manifests = documents.map((document) => document.toJS() as Manifest);
  const find = (kind: string): Manifest => {
    const found = manifests.find((manifest) => manifest.kind === kind);
    if (found === undefined) throw new Error(`kubernetes.yaml has no ${kind}`);
    return found;
  };
  const { spec } = find('Deployment');
  const pod = spec.template.spec;
  const [container] = pod.containers;

  it('is valid YAML with one manifest per kind', () => {
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    const kinds = manifests.map(({ kind }) => kind);
    expect(kinds).toEqual(['ConfigMap', 'PersistentVolumeClaim', 'Deployment', 'Service']);
  });

  it('runs one replica at a time, because one process owns the data folder', () => {
    expect(spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
    expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels);
  });

  it('confines the container', () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it.each([
    ['startupProbe', '/readyz'],
    ['livenessProbe', '/healthz'],
    ['readinessProbe', '/readyz'],
  ] as const)('has a %s at %s', (probe, at) => {
    expect(container[probe].httpGet).toEqual({ path: at, port: 'http' });
    expect(container.ports).toEqual([{ name: 'http', containerPort: Number(instruction('EXPOSE')) }]);
  });

  it('mounts every volume, and all of them except the secret are in the file', () => {
    const { volumeMounts } = container;
    expect(volumeMounts.map(({ name }) => name)).toEqual(pod.volumes.map(({ name }) => name));
    expect(volumeMounts.map(({ mountPath }) => mountPath)).toEqual(
      expect.arrayContaining(['/data', path.dirname(configPath)]),
    );
    expect(pod.volumes).toMatchObject([
      { persistentVolumeClaim: { claimName: find('PersistentVolumeClaim').metadata.name } },
      { configMap: { name: find('ConfigMap').metadata.name } },
      { secret: { secretName: 'artifactapi' } },
    ]);
  });

  it('has a valid config, mounts its password file and allows enough time for a stop', () => {
    const { access, stopSeconds } = settingsOf(find('ConfigMap').data[path.basename(configPath)] ?? '');
    const { htpasswd } = access as { htpasswd: string };
    expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toContain(path.dirname(htpasswd));
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(stopSeconds);
  });
});
