import { join } from 'node:path';
import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { basicAuthorization, openAccessBed } from './support/access-bed.js';
import type { AccessBed } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import { sha256 } from './support/images.js';
import { startNginx } from './support/nginx.js';
import type { Nginx } from './support/nginx.js';
import { seededRandom } from './support/random.js';
import { RegistryHttp } from './support/registry-http.js';

const name = 'docker-internal/team/app';
const bytes = seededRandom(12).bytes(1_000_000);
const digest = sha256(bytes);

describeClient('nginx in front, over a Unix socket', ['nginx'], () => {
  let bed: AccessBed;
  let nginx: Nginx;
  let agent: Agent;

  beforeAll(async () => {
    // Relative to the config file. The workers of nginx run as a user without a common group.
    const server = { socket: 's', socketMode: '0666' };
    const settings = { server, trustedProxies: ['unix:'], sendfile: 'x-accel' };
    bed = await openAccessBed({ settings, logLevel: 'info' });
    nginx = await startNginx(bed, { host: `unix:${join(bed.folder, 's')}` });
    bed.onClose(() => nginx.stop());
    agent = new Agent({ connect: { ca: nginx.ca } });
    bed.onClose(() => agent.destroy());
  });
  afterAll(() => bed?.close());

  test('pushes and pulls work, and nginx sends the bytes of blobs', async () => {
    const ana = new RegistryHttp(nginx.origin, agent, { authorization: basicAuthorization('ana') });
    await ana.pushBlob(name, { mediaType: 'application/octet-stream', digest, bytes });
    const { status, body } = await ana.send(`/v2/${name}/blobs/${digest}`);
    expect([status, body.equals(bytes)]).toEqual([200, true]);
    await expect
      .poll(async () => (await nginx.requests()).findLast(({ method }) => method === 'GET'))
      .toMatchObject({ status: 200, sent: bytes.length, fromRegistry: 0 });
  });

  test('the registry sees the address and the host that the client used', async () => {
    const anonymous = new RegistryHttp(nginx.origin, agent);
    const { headers } = await anonymous.send('/v2/');
    expect(headers['www-authenticate']).toContain(`realm="${nginx.origin}/v2/token"`);
    const id = String(headers['x-request-id']);
    const lineOf = (): string | undefined =>
      bed.registry
        .output()
        .split('\n')
        .find((line) => line.includes(id));
    await expect.poll(lineOf).toBeDefined();
    expect(JSON.parse(lineOf() ?? '')).toMatchObject({ clientAddress: '127.0.0.1', remoteAddress: '' });
  });
});
