/** Runs a registry and nginx in front of it, without TLS. Both are children of this process and stop with it. */
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const [program = '', folder = '', registryPort = '', nginxPort = '', logLevel = '', sendfile = ''] =
  process.argv.slice(2);
const data = join(folder, 'data');
const run = join(folder, 'nginx');

await mkdir(run, { recursive: true });
const config = join(folder, 'config.yml');
// JSON is YAML too.
await writeFile(
  config,
  JSON.stringify({ access: 'open', trustedProxies: ['127.0.0.1'], ...(sendfile === '' ? {} : { sendfile }) }),
);
const nginxConfig = join(run, 'nginx.conf');
await writeFile(nginxConfig, configure());

const settings = ['--host', '127.0.0.1', '--port', registryPort, '--log-level', logLevel, '--data', data];
const children = [
  spawn(process.execPath, [program, 'serve', ...settings, '--config', config], { stdio: 'inherit' }),
  spawn('nginx', ['-e', 'stderr', '-p', run, '-c', nginxConfig], { stdio: 'inherit' }),
];
for (const child of children) child.on('exit', stop).on('error', stop);
process.on('SIGTERM', stop);

function stop() {
  for (const child of children) child.kill('SIGTERM');
}

/** Returns a minimal nginx configuration around the one that we ship. */
function configure() {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`);
  return `daemon off;
user root; # only root can read the temporary folder; has no effect unless nginx is started by root
worker_processes 2;
pid nginx.pid;
error_log stderr error;
events {}
http {
  access_log off;
  ${temporary.join('\n  ')}
  upstream artifactapi { server 127.0.0.1:${registryPort}; keepalive 32; }
  server {
    listen 127.0.0.1:${nginxPort};
    set $artifactapi_blobs ${data}/blobs;
    include ${join(import.meta.dirname, '../adapters/nginx/artifactapi.conf')};
  }
}
`;
}
