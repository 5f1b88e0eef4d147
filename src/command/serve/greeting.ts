import { hostname, networkInterfaces } from 'node:os';

/** The facts about a started server that the greeting shows. */
export interface Started {
  readonly version: string;
  readonly secure: boolean;
  /** The host as configured: `127.0.0.1`, `0.0.0.0`, `registry.example`. */
  readonly host: string;
  /** Absent: it listens only on the socket. */
  readonly port?: number | undefined;
  /** The path of the Unix socket. */
  readonly socket?: string | undefined;
  /** The port or the path of the socket of the listener for metrics, and its host. */
  readonly metrics?: { readonly host: string; readonly port: number } | { readonly socket: string } | undefined;
  /** Whether only this machine can reach it. */
  readonly onLoopback: boolean;
  /** Where the data is, for people. */
  readonly storage: string;
  /** Whether it serves the web UI. */
  readonly ui: boolean;
  readonly access: 'open' | 'read-only' | 'rules';
  /** A repository for the example commands; absent if there is none yet. */
  readonly repository?: string;
}

const accessModes: Readonly<Record<Started['access'], string>> = {
  open: 'open (anyone who can reach this address can pull, push and delete)',
  'read-only': 'read-only (anyone who can reach this address can pull)',
  rules: 'rules of the configuration',
};

/** Returns the greeting for stdout. Its first line has the address, with the port that the system chose for port 0. */
export function formatGreeting(started: Started): string {
  const { port, socket } = started;
  const scheme = started.secure ? 'https' : 'http';
  const origin = `${scheme}://${bracket(started.host)}:${port}`;
  const places = [...(port === undefined ? [] : [origin]), ...(socket === undefined ? [] : [`unix:${socket}`])];
  const lines = [
    `artifactapi ${started.version} listening on ${places.join(' and ')}`,
    `  data:   ${started.storage}`,
    `  access: ${accessModes[started.access]}`,
    ...(started.ui && port !== undefined ? [`  web UI: ${scheme}://${clientAddress(started)}/ui/`] : []),
    ...formatMetrics(started),
    '',
    ...(port === undefined ? formatSocketCommands(socket) : formatCommands(started, origin)),
    ...(started.secure || port === undefined ? [] : formatPlainHttp(started)),
  ];
  return `${lines.join('\n')}\n`;
}

function formatMetrics({ metrics }: Started): string[] {
  if (metrics === undefined) return [];
  if ('socket' in metrics) return [`  metrics: /metrics on unix:${metrics.socket}`];
  return [`  metrics: http://${bracket(metrics.host)}:${metrics.port}/metrics`];
}

/** Registry clients cannot use a socket: they need a proxy. */
function formatSocketCommands(socket = ''): string[] {
  return [
    'Registry clients need a proxy in front of the socket. Try it:',
    `  curl --unix-socket ${socket} http://localhost/v2/`,
  ];
}

function formatCommands(started: Started, origin: string): string[] {
  const { repository, access } = started;
  if (repository === undefined) {
    if (access !== 'open') return ['There is no repository yet. Add one to the configuration, under repositories.'];
    const document = '{"name":"local","package_type":"docker","repo_type":"local"}';
    return [
      'There is no repository yet. Create one:',
      `  curl -H 'Content-Type: application/json' -d '${document}' ${origin}/api/v1/repositories`,
    ];
  }
  const image = `${clientAddress(started)}/${repository}/app:1`;
  if (access === 'read-only') return ['Pull an image:', `  docker pull ${image}`];
  const login = access === 'rules' ? [`  docker login ${clientAddress(started)}`] : [];
  return ['Try it:', ...login, `  docker tag <an image> ${image}`, `  docker push ${image}`, `  docker pull ${image}`];
}

/** Clients require https; only docker accepts plain http on a loopback address. */
function formatPlainHttp(started: Started): string[] {
  if (started.onLoopback)
    return [
      'podman and buildah need --tls-verify=false here; skopeo needs --src-tls-verify=false or --dest-tls-verify=false.',
    ];
  const address = clientAddress(started);
  return [
    '',
    'This is plain http on an address that other machines can reach. Clients there refuse it unless you configure them:',
    '  docker, in /etc/docker/daemon.json, then restart docker:',
    `    { "insecure-registries": ["${address}"] }`,
    '  podman, buildah and skopeo, in /etc/containers/registries.conf.d/artifactapi.conf:',
    '    [[registry]]',
    `    location = "${address}"`,
    '    insecure = true',
    'Better: serve https with --tls-cert and --tls-key, or run behind a proxy that serves https.',
  ];
}

/** Returns the address that clients connect to, which is never `0.0.0.0`. */
function clientAddress({ host, port }: Started): string {
  return `${host === '0.0.0.0' || host === '::' ? ownAddress() : bracket(host)}:${port}`;
}

function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? hostname();
}

function bracket(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
