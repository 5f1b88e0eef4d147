import { once } from 'node:events';
import { access, mkdir, stat, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage, type RequestOptions } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
});
afterAll(() => removeScratchFolder(folder));

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

let own: string;
let folders = 0;
beforeEach(async () => {
  own = path.join(folder, String(++folders));
  await mkdir(own);
});

const writeConfig = (config: object): Promise<void> => writeFile(path.join(own, 'config.json'), JSON.stringify(config));

async function run(server: object, others: object = {}): Promise<Command> {
  await writeConfig({ ...others, server });
  const flags = ['--data', path.join(own, 'data'), '--config', path.join(own, 'config.json')];
  const command = new Command(bundledCommand, ['serve', ...flags], { cwd: own });
  cleanups.add(() => command.destroy());
  return command;
}

const rules = { rules: [{ users: ['ana'], allow: ['pull'] }] };

/** Starts `serve` with a login for clients, and returns the origins of both addresses. */
async function serve(): Promise<{ command: Command; clients: string; metrics: string }> {
  const command = await run({ port: 0, metrics: { port: 0 } }, { access: rules });
  const clients = await originOf(command);
  const line = await command.waitFor(/^ {2}metrics: http:\/\/127\.0\.0\.1:[1-9][0-9]*\/metrics\n/m);
  return { command, clients, metrics: new URL(line.split(' ').at(-1) ?? '').origin };
}

async function ask(place: RequestOptions) {
  const sent = request({ ...place, agent: false, headers: { Host: 'localhost' } }).end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
}

function askOn(origin: string, url: string, method = 'GET') {
  const { hostname, port } = new URL(origin);
  return ask({ hostname, port, path: url, method });
}

const exists = (place: string): Promise<boolean> =>
  access(place).then(
    () => true,
    () => false,
  );

/** Returns a port of loopback that is in use until the end of the test. */
async function takePort(): Promise<number> {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  cleanups.add(async () => {
    taken.close();
    await once(taken, 'close');
  });
  return (taken.address() as AddressInfo).port;
}

describe('serve with server.metrics', () => {
  it('serves the metrics without a login on an address of their own', async () => {
    const { command, clients, metrics } = await serve();
    expect((await askOn(clients, '/v2/')).status).toBe(401);
    expect((await askOn(clients, '/api/v1/metrics')).status).toBe(401);
    expect((await askOn(clients, '/metrics')).status).toBe(404);
    const { status, headers, body } = await askOn(metrics, '/metrics');
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(body).toContain('\n# TYPE registry_http_requests_total counter\n');
    expect(body).toMatch(/^artifactapi_info\{version="[^"]+"\} 1$/m);
    expect(body).toMatch(/^process_resident_memory_bytes [0-9]+$/m);
    expect(body.endsWith('\n')).toBe(true);
    expect(await command.stop()).toMatchObject({ code: 0 });
  });

  it('serves the probes there too, and nothing else', async () => {
    const { metrics } = await serve();
    const table: [string, number, string?][] = [
      ['/metrics', 200],
      ['/metrics?name[]=artifactapi_info', 200],
      ['/metrics', 200, 'HEAD'],
      ['/healthz', 200],
      ['/readyz', 200],
      ['/metrics', 405, 'POST'],
      ['/readyz', 405, 'DELETE'],
      ['/', 404],
      ['/metrics/', 404],
      ['//metrics', 404],
      ['/METRICS', 404],
      ['/%6detrics', 404],
      ['/healthz/x', 404],
      ['/v2/', 404],
      ['/v2/_catalog', 404],
      ['/v2/token', 404],
      ['/v2/local/app/blobs/uploads/', 404, 'POST'],
      ['/metrics/../v2/', 404],
      ['/metrics/../api/v1/repositories', 404],
      ['/api/v1/metrics', 404],
      ['/api/v1/repositories', 404],
      ['/api/v1/repositories', 404, 'PUT'],
      ['/ui/', 404],
    ];
    for (const [url, status, method = 'GET'] of table) {
      const answer = await askOn(metrics, url, method);
      expect([method, url, answer.status]).toEqual([method, url, status]);
      if (status === 405) expect(answer.headers.allow).toBe('GET, HEAD');
      if (method === 'HEAD') expect(answer.body).toBe('');
    }
  });

  it('listens on a Unix socket with the permissions of server.socketMode', async () => {
    const socketPath = path.join(own, 'm');
    const command = await run({ port: 0, socketMode: '0600', metrics: { socket: 'm' } });
    await command.waitFor(/^ {2}metrics: \/metrics on unix:.*\n/m);
    expect(command.stdout).toContain(`unix:${socketPath}\n`);
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
    expect((await ask({ socketPath, path: '/metrics' })).body).toContain('\nartifactapi_info{');
    expect((await ask({ socketPath, path: '/v2/' })).status).toBe(404);
    expect([(await command.stop()).code, await exists(socketPath)]).toEqual([0, false]);
  });

  it('does not start if the port is in use, and names the option', async () => {
    const port = await takePort();
    const command = await run({ socket: 's', metrics: { port } });
    const { code, stdout, stderr } = await command.ended();
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      `artifactapi: port ${port} of 127.0.0.1 is in use: choose another with server.metrics.port, or 0 for any free port.\n`,
    );
    expect(await exists(path.join(own, 's'))).toBe(false);
  });

  it('closes its listener if that of the clients cannot listen', async () => {
    const port = await takePort();
    const { code, stderr } = await (await run({ port, metrics: { socket: 'm' } })).ended();
    expect([code, stderr]).toEqual([1, expect.stringContaining(`port ${port} of 127.0.0.1 is in use`)]);
    expect(await exists(path.join(own, 'm'))).toBe(false);
  });

  it('cannot change in a reload', async () => {
    const { command } = await serve();
    await writeConfig({ access: rules, server: { port: 0, metrics: { port: 1 } } });
    command.kill('SIGHUP');
    const line = await command.waitFor(/^\{.*configuration not reloaded.*\}$/m, 'stderr');
    expect(JSON.parse(line)).toMatchObject({ problems: [{ path: 'server.metrics.port' }] });
    expect((await command.stop()).code).toBe(0);
  });
});
