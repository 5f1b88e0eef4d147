import { once } from 'node:events';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { RequestTap } from '../../../src/http/bodies/request-tap.js';
import { writeInBatches } from '../../../src/util/streams/streams.js';

const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
const canFree = 'transfer' in ArrayBuffer.prototype;

interface Received {
  /** The chunks as Node created them, before and after they were written. */
  readonly chunks: readonly Buffer[];
  readonly written: Buffer;
}

/** Writes the body of a request in batches. */
async function receive(source: Readable, chunks: readonly Buffer[]): Promise<Received> {
  const written: Buffer[] = [];
  const write = async (batch: Buffer[]): Promise<void> => {
    written.push(...batch.map((chunk) => Buffer.from(chunk)));
    await Promise.resolve();
  };
  await writeInBatches(source, write, { batchBytes: 64 * 1024, freesChunks: true });
  return { chunks, written: Buffer.concat(written) };
}

/** Sends the body to a server, in parts of this size. */
async function send(
  partBytes: number,
  prepare: (req: IncomingMessage) => void = (req) => void RequestTap.on(req),
): Promise<Received> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const received = new Promise<Received>((resolve, reject) => {
    server.on('request', (req, res) => {
      const chunks: Buffer[] = [];
      prepare(req);
      const push = req.push.bind(req);
      req.push = (chunk: Buffer | null, encoding) => {
        if (chunk !== null) chunks.push(chunk);
        return push(chunk, encoding);
      };
      receive(req, chunks).then(resolve, reject);
      res.end();
    });
  });
  const out = request({ port, method: 'PUT' });
  // It may be destroyed before its answer arrives.
  out.on('error', () => {});
  for (let at = 0; at < body.length; at += partBytes) out.write(body.subarray(at, at + partBytes));
  out.end();
  try {
    return await received;
  } finally {
    out.destroy();
    server.close();
  }
}

it.each([100_000, 5000])(
  'writes all bytes of a request in parts of %d bytes and frees its chunks',
  async (partBytes) => {
    const { chunks, written } = await send(partBytes);
    expect(written.equals(body)).toBe(true);
    expect(chunks.filter(({ length }) => length > 0).length > 0).toBe(!canFree);
  },
);

it('keeps the chunks of a request that something else reads too', async () => {
  const { chunks, written } = await send(100_000, (req) => {
    RequestTap.on(req);
    req.on('data', () => {});
  });
  expect(written.equals(body)).toBe(true);
  expect(Buffer.concat(chunks).equals(body)).toBe(true);
});

it('keeps the chunks that a listener has which the host adds later', async () => {
  const seen: Buffer[] = [];
  const { written } = await send(100_000, (req) => {
    RequestTap.on(req);
    setImmediate(() => req.on('data', (chunk: Buffer) => seen.push(chunk)));
  });
  expect(written.equals(body)).toBe(true);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every(({ length }) => length > 0)).toBe(true);
});

it('keeps the buffers of a stream that is not a request', async () => {
  const buffer = Buffer.alloc(100_000, 'x');
  await receive(Readable.from([buffer]), []);
  expect(buffer.length).toBe(100_000);
});
