import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { createRegistry, type RegistryOptions } from '../../../src/index.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { Http2Client } from '../../support/clients/http2.js';
import { someBytes } from '../../support/content/content.js';
import { hostFor, listen, recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** Mounts a pass-through repository in an HTTP/2 server. */
async function start(
  upstream: RequestListener,
  { cache = false, ...options }: Partial<RegistryOptions> & { readonly cache?: boolean } = {},
) {
  const folder = await makeScratchFolder();
  const source = await listen(upstream);
  const logger = recordingLogger();
  const repositories: RegistryOptions['repositories'] = [{ name: 'hub', type: 'remote', cache, url: source.url }];
  const registry = createRegistry({ storage: folder, access: 'open', repositories, logger, ...options });
  const events: string[] = [];
  registry.events.on('request', ({ op, status }) => events.push(`${op} ${status}`));
  const listener = hostFor(registry);
  // The types of the compatibility API differ; hosts pass its requests on like this.
  const server = createServer((req, res) =>
    listener(req as unknown as IncomingMessage, res as unknown as ServerResponse & { req: IncomingMessage }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new Http2Client((server.address() as AddressInfo).port);
  closers.push(
    () => removeScratchFolder(folder),
    () => registry.close(),
    () => source.close(),
    () => new Promise((resolve) => server.close(resolve)),
    () => Promise.resolve(client.close()),
  );
  await registry.ready();
  return { client, logger, events };
}

const blobPath = (bytes: Buffer): string => `/v2/hub/app/blobs/${digestOf(bytes)}`;

it.each([100, 3_000_000])('a pass-through repository passes %i bytes on over HTTP/2', async (size) => {
  const bytes = someBytes('passed', size);
  const { client } = await start((_req, res) => {
    res.writeHead(200, { 'Content-Length': size, Connection: 'keep-alive', 'Keep-Alive': 'timeout=5' }).end(bytes);
  });
  const pulled = await client.send('GET', blobPath(bytes));
  expect([pulled.status, pulled.body.equals(bytes)]).toEqual([200, true]);
});

it.each([1000, 3_000_000])(
  'a client of HTTP/2 that resets a download of %i bytes ends the exchange with the upstream, without a warning',
  async (size) => {
    let left = 0;
    const { client, logger, events } = await start((_req, res) => {
      res.once('close', () => left++);
      res.writeHead(200, { 'Content-Length': size }).write(Buffer.alloc(size - 1));
    });
    client.startAndReset(blobPath(Buffer.from('x')));
    await expect.poll(() => left).toBe(1);
    await expect.poll(() => events.length).toBe(1);
    expect(logger.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  },
);

it('a request of HTTP/2 that is reset while its user is looked up does not wait for the upstream', async () => {
  let asked = 0;
  const { client, events } = await start(() => void asked++, {
    access: {
      rules: [{ users: ['host'], allow: ['pull'] }],
      authenticate: async () => {
        await new Promise((resolve) => setTimeout(resolve, 100));
        return { id: 'host' };
      },
    },
  });
  client.startAndReset(blobPath(Buffer.from('x')));
  await expect.poll(() => events).toEqual(['blob.get 499']);
  expect(asked).toBe(0);
});

it.each([60_000, 300_000])(
  'slow downloads of %i bytes through a pass-through repository let a connection of HTTP/2 send further requests',
  async (size) => {
    const { client } = await start((_req, res) => {
      res.writeHead(200, { 'Content-Length': size }).end(Buffer.alloc(size));
    });
    const path = blobPath(Buffer.from('x'));
    for (let i = 0; i < 250; i++) expect((await client.stallDownload(path)).status).toBe(200);
    expect((await client.send('GET', '/v2/')).status).toBe(200);
  },
);

describe('a download over HTTP/2 is reset, so that it does not look complete, if the upstream', () => {
  const path = blobPath(Buffer.from('x'));

  it.each([1000, 300_000])('of a pass-through repository breaks off in the middle of %i bytes', async (size) => {
    const { client } = await start((_req, res) => {
      res.writeHead(200, { 'Content-Length': size }).write(Buffer.alloc(size / 2), () => res.destroy());
    });
    const broken = client.send('GET', path).then(({ status }) => status);
    await expect(broken).rejects.toThrow('Stream closed');
  });

  it('of a cache sends other bytes than those of the digest', async () => {
    const { client } = await start((_req, res) => void res.end(Buffer.alloc(300_000)), { cache: true });
    const broken = client.send('GET', path).then(({ status }) => status);
    await expect(broken).rejects.toThrow('Stream closed');
  });
});
