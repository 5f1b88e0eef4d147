import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findTool, projectRoot } from '../../e2e-docker/support/commands.js';
import { acceptsConnections, startDaemon, waitForDaemon } from '../../e2e-docker/support/daemon.js';
import { freePort } from '../../test/support/servers/free-port.js';
import { makeScratchFolder, removeScratchFolder } from '../../test/support/storage/scratch.js';

/** An nginx that passes the requests below a path on to a registry. */
export interface Nginx {
  /** `https://127.0.0.1:PORT` */
  readonly origin: string;
  stop(): Promise<void>;
}

/**
 * Starts Debian's nginx with TLS.
 * @param place the path that it passes on, such as `/tools/registry/`; it answers 404 to all others.
 * @param isStripped whether the registry gets the requests without that path.
 * @param bodies directives about the bodies of requests.
 */
export async function startNginx(
  registry: string,
  place: string,
  isStripped: boolean,
  bodies: string = streamed,
): Promise<Nginx> {
  const folder = await makeScratchFolder();
  await mkdir(path.join(folder, 'run'));
  // Workers, which run as another user, may pass through this folder but not list it.
  await chmod(folder, 0o711);
  const port = await freePort();
  const file = path.join(folder, 'nginx.conf');
  await writeFile(file, configOf(registry, place, isStripped, bodies, port));
  const args = ['-e', 'stderr', '-p', folder, '-c', file];
  const daemon = startDaemon(findTool('nginx') ?? 'nginx', args, { logFile: path.join(folder, 'log') });
  await waitForDaemon(daemon, () => acceptsConnections(port));
  return {
    origin: `https://127.0.0.1:${port}`,
    stop: async () => {
      await daemon.end('SIGTERM');
      await removeScratchFolder(folder);
    },
  };
}

/** Bodies of any size, passed on while they arrive. */
const streamed = 'client_max_body_size 0; proxy_request_buffering off;';

function configOf(registry: string, place: string, isStripped: boolean, bodies: string, port: number): string {
  const tls = path.join(projectRoot, 'test/support/tls');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path run/${name};`,
  );
  return `
daemon off;
worker_processes 1;
pid run/nginx.pid;
error_log stderr;
events {}
http {
  include /etc/nginx/mime.types;
  access_log off;
  ${temporary.join(' ')}
  upstream artifactapi {
    server ${new URL(registry).host};
    keepalive 8;
  }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${tls}/test-only-certificate.pem;
    ssl_certificate_key ${tls}/test-only-key.pem;
    location ^~ ${place} {
      proxy_pass http://artifactapi${isStripped ? '/' : ''};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      ${bodies}
      proxy_buffering off;
    }
    location / {
      return 404;
    }
  }
}
`;
}
