import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRegistry, type Registry } from '../../../src/index.js';
import { createRegistryServer, type RegistryServer } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { digest, someBytes } from '../../support/content/content.js';
import { openFilesUnder } from '../../support/storage/open-files.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { hostFor, listenOn, recordingLogger, type Listening } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const large = someBytes('pipelined', 12 * 1024 * 1024);
const small = someBytes('small', 1000);
/** The maximum number of waiting requests, behind one that is being answered. */
const requests = 65;

let folder: string;
let registry: Registry;
let own: RegistryServer;
let ownPort: number;
let host: Listening;
const ports: { own: () => number; host: () => number } = { own: () => ownPort, host: () => host.port };

beforeAll(async () => {
  folder = await makeScratchFolder();
  registry = createRegistry({ storage: folder, access: 'open', repositories: [{ name: 'local', type: 'local' }] });
  await registry.ready();
  own = createRegistryServer({ registry, log: recordingLogger() });
  ({ port: ownPort } = await own.listen(0, '127.0.0.1'));
  host = await listenOn(createServer(hostFor(registry)));
  const client = new Client(host.url);
  for (const bytes of [large, small]) {
    await client.post(`/v2/local/app/blobs/uploads/?digest=${digest(bytes)}`, { body: bytes });
  }
  await client.close();
});
afterAll(async () => {
  await host.close();
  await own.stop(0);
  await removeScratchFolder(folder);
});

const blobPath = (bytes: Buffer) => `/v2/local/app/blobs/${digest(bytes)}`;
const get = (path: string) => rawHead('GET', path, { Connection: 'keep-alive' });
const openBlobs = async () => (await openFilesUnder(folder)).filter((path) => /[0-9a-f]{64}$/.test(path));

describe.each(['own', 'host'] as const)('pipelined requests on the %s server', (which) => {
  it('open one file at a time when the client does not read the answers', async () => {
    const connection = await RawConnection.open(ports[which]());
    connection.socket.pause();
    await connection.write(get(blobPath(large)).repeat(requests));
    await expect.poll(openBlobs).not.toEqual([]);
    const client = new Client(`http://127.0.0.1:${ports[which]()}`);
    // Answered after everything that the first connection sent: requests that had started would have opened the file.
    for (let i = 0; i < 5; i++) await client.get(blobPath(small));
    // The small file closes soon after its answer; files of the first connection would stay open.
    await expect.poll(openBlobs).toHaveLength(1);
    await client.close();
    connection.cut();
    await expect.poll(openBlobs).toEqual([]);
  });

  it('are answered in order, with bodies and Expect between them', async () => {
    const connection = await RawConnection.open(ports[which]());
    const start = `/v2/local/app/blobs/uploads/?digest=${digest('hello')}`;
    const post = rawHead('POST', start, { 'Content-Length': '5', Connection: 'keep-alive' });
    const late = rawHead('POST', start, { 'Content-Length': '5', Expect: '100-continue', Connection: 'keep-alive' });
    const last = rawHead('GET', '/v2/local/app/tags/list');
    await connection.write(`${get(blobPath(small))}${post}hello${get('/v2/')}${late}`);
    await connection.waitFor(/100 Continue/);
    await connection.write(`hello${last}`);
    const text = await connection.waitFor(/"tags":\[\]/);
    const statuses = [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(['200', '201', '200', '100', '201', '200']);
    connection.cut();
  });

  it('are read in turn when a large body follows an answer that is read late', async () => {
    const connection = await RawConnection.open(ports[which]());
    connection.socket.pause();
    const upload = someBytes('upload', 3 * 1024 * 1024);
    const head = { 'Content-Length': String(upload.length) };
    const post = rawHead('POST', `/v2/local/app/blobs/uploads/?digest=${digest(upload)}`, head);
    const written = connection.write(Buffer.concat([Buffer.from(get(blobPath(large)) + post), upload]));
    await expect.poll(openBlobs).not.toEqual([]);
    connection.socket.resume();
    await written;
    const { body } = await connection.untilClosed();
    expect(body.slice(large.length)).toMatch(/^HTTP\/1.1 201 Created/);
  });

  it('close the connection when more than 64 wait, and are discarded', async () => {
    const refused: object[] = [];
    const note = (event: object): void => void refused.push(event);
    registry.events.on('client.refused', note);
    const connection = await RawConnection.open(ports[which]());
    connection.socket.pause();
    await connection.write(get(blobPath(large)).repeat(requests + 1));
    connection.socket.resume();
    await connection.untilClosed();
    await expect.poll(openBlobs).toEqual([]);
    expect(refused).toEqual([{ reason: 'pipelined_requests', address: '127.0.0.1' }]);
    registry.events.off('client.refused', note);
  });

  it('are discarded when the connection is cut', async () => {
    const connection = await RawConnection.open(ports[which]());
    connection.socket.pause();
    await connection.write(get(blobPath(large)).repeat(3));
    await expect.poll(openBlobs).toHaveLength(1);
    const seen: string[] = [];
    const note = ({ method, url }: { method: string; url: string }) => void seen.push(`${method} ${url}`);
    registry.events.on('request', note);
    connection.cut();
    await expect.poll(openBlobs).toEqual([]);
    await expect.poll(() => seen).toEqual([`GET ${blobPath(large)}`]);
    registry.events.off('request', note);
  });
});

describe('pipelined requests on the standalone server', () => {
  it('are all answered when the client closes its side after the last one', async () => {
    const connection = await RawConnection.open(ownPort);
    await connection.write(get(blobPath(large)) + get(blobPath(small)) + get('/v2/local/app/tags/list'));
    connection.socket.end();
    const { status, body } = await connection.untilClosed();
    expect(status).toBe(200);
    expect(body.length).toBeGreaterThan(large.length + small.length);
    expect(body.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(body).toContain('"tags":[]');
  });
});
