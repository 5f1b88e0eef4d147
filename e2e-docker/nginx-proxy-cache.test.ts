import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../test/support/servers/free-port.js';
import { basicAuthorization, openAccessBed } from './support/access-bed.js';
import type { AccessBed } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import { findTool } from './support/commands.js';
import { startDaemon, waitForDaemon } from './support/daemon.js';
import { content, mediaTypes } from './support/images.js';
import { seededRandom } from './support/random.js';
import { RegistryHttp } from './support/registry-http.js';

const name = 'docker-internal/team/app';
const blob = content(mediaTypes.ociLayerGzip, seededRandom(17).bytes(100_000));
const url = `/v2/${name}/blobs/${blob.digest}`;

/** Caches every cacheable 200 and 206. */
const configure = (folder: string, port: number, registry: string): string => `
daemon off;
pid ${folder}/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  proxy_cache_path ${folder}/cache keys_zone=blobs:1m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://${registry};
      proxy_cache blobs;
      proxy_cache_valid any 10m;
      proxy_set_header Range $http_range;
      proxy_cache_key $request_method$uri$http_range;
      add_header X-Proxy-Cache $upstream_cache_status always;
    }
  }
}
`;

describeClient('a caching nginx in front', ['nginx'], () => {
  let bed: AccessBed;
  let agent: Agent;
  let origin: string;

  beforeAll(async () => {
    bed = await openAccessBed();
    const port = await freePort();
    await chmod(bed.folder, 0o711);
    const file = join(bed.folder, 'caching.conf');
    await writeFile(file, configure(bed.folder, port, bed.registry.host));
    const command = ['-e', 'stderr', '-p', bed.folder, '-c', file];
    const logFile = join(bed.folder, 'nginx.log');
    const daemon = startDaemon(findTool('nginx') ?? 'nginx', command, { logFile });
    bed.onClose(() => daemon.end('SIGTERM'));
    agent = new Agent();
    bed.onClose(() => agent.destroy());
    origin = `http://127.0.0.1:${port}`;
    await waitForDaemon(daemon, async () => {
      const answer = await new RegistryHttp(origin, agent).send('/v2/').catch(() => undefined);
      return answer === undefined ? undefined : (true as const);
    });
    await bed.as('ana').pushBlob(name, blob);
  });
  afterAll(() => bed?.close());

  test.each([
    ['a blob', 'GET', {}, 200],
    ['a range', 'GET', { range: 'bytes=1-9' }, 206],
    ['HEAD', 'HEAD', {}, 200],
  ] as const)('%s under rules is not kept for anyone else', async (_title, method, headers, status) => {
    const ana = new RegistryHttp(origin, agent, { authorization: basicAuthorization('ana') });
    for (let i = 0; i < 2; i++) {
      const answer = await ana.send(url, { method, headers: { ...headers } });
      expect([answer.status, answer.headers['x-proxy-cache']]).toEqual([status, 'MISS']);
    }
    const stranger = await new RegistryHttp(origin, agent).send(url, { method, headers: { ...headers } });
    expect([stranger.status, stranger.headers['x-proxy-cache']]).toEqual([401, 'MISS']);
  });
});
