import { hostname, networkInterfaces } from 'node:os';

/** What the greeting tells about a server that has started. */
export interface Started {
  readonly version: string;
  readonly secure: boolean;
  /** As it was asked for: `127.0.0.1`, `0.0.0.0`, `registry.example`. */
  readonly host: string;
  readonly port: number;
  /** Whether only this machine can reach it. */
  readonly onLoopback: boolean;
  readonly storage: string;
  readonly access: 'open' | 'read-only' | 'rules';
  /** A repository to try it with; absent when there is none yet. */
  readonly repository?: string;
}

const whoMay: Readonly<Record<Started['access'], string>> = {
  open: 'open: whoever reaches this address may pull, push and delete',
  'read-only': 'read-only: whoever reaches this address may pull',
  rules: 'by rules: whoever the configuration allows may pull, push and delete',
};

/** For people, on stdout. Its first line has the address, also of a port that the system chose. */
export function formatGreeting(started: Started): string {
  const origin = `${started.secure ? 'https' : 'http'}://${bracket(started.host)}:${started.port}`;
  const lines = [
    `artifactapi ${started.version} listens on ${origin}`,
    `  data in ${started.storage}`,
    `  ${whoMay[started.access]}`,
    '',
    ...formatCommands(started, origin),
    ...(started.secure ? [] : formatPlainHttp(started)),
  ];
  return `${lines.join('\n')}\n`;
}

function formatCommands(started: Started, origin: string): string[] {
  const { repository, access } = started;
  if (repository === undefined) {
    if (access !== 'open') return ['There is no repository yet: name one in the configuration, under repositories.'];
    const document = '{"name":"local","package_type":"docker","repo_type":"local"}';
    return [
      'There is no repository yet. To make one:',
      `  curl -H 'Content-Type: application/json' -d '${document}' ${origin}/api/v1/repositories`,
    ];
  }
  const image = `${clientAddress(started)}/${repository}/app:1`;
  if (access === 'read-only') return ['To pull from it:', `  docker pull ${image}`];
  const login = access === 'rules' ? [`  docker login ${clientAddress(started)}`] : [];
  return [
    'To try it:',
    ...login,
    `  docker tag <an image> ${image}`,
    `  docker push ${image}`,
    `  docker pull ${image}`,
  ];
}

/** Clients insist on https, except that docker lets a loopback address be. */
function formatPlainHttp(started: Started): string[] {
  if (started.onLoopback)
    return ['  podman, buildah and skopeo need --tls-verify=false, or --dest-tls-verify=false, here.'];
  const address = clientAddress(started);
  return [
    '',
    'This is plain http on an address that others can reach. Their clients refuse it, unless each is told:',
    '  docker, in /etc/docker/daemon.json, and restart it:',
    `    { "insecure-registries": ["${address}"] }`,
    '  podman, buildah and skopeo, in /etc/containers/registries.conf.d/artifactapi.conf:',
    '    [[registry]]',
    `    location = "${address}"`,
    '    insecure = true',
    'Better: serve https with --tls-cert and --tls-key, or behind a proxy that does.',
  ];
}

/** The address as a client writes it: nobody can connect to `0.0.0.0`. */
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
