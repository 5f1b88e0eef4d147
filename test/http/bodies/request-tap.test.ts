import { once } from 'node:events';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RequestTap } from '../../../src/http/bodies/request-tap.js';
import { listen } from '../../../src/util/streams/source-listener.js';
import { MiB, patternBytes } from '../../support/content/bytes.js';

/** Sends a body to a server, which handles its request. */
async function withRequest<T>(body: Buffer, handle: (req: IncomingMessage) => Promise<T>): Promise<T> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const out = request({ port, method: 'PUT' });
  // It may be destroyed before its answer arrives.
  out.on('error', () => {});
  // In chunks: without Content-Length.
  for (let at = 0; at < body.length; at += 100_000) out.write(body.subarray(at, at + 100_000));
  out.end();
  try {
    const [req] = (await once(server, 'request')) as [IncomingMessage];
    return await handle(req);
  } finally {
    out.destroy();
    server.close();
    server.closeAllConnections();
  }
}

/** Collects the chunks of a source. Resolves at its end. */
function collect(source: Readable, onChunk: (chunk: Buffer) => void = () => {}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    listen(source, {
      chunk(bytes) {
        chunks.push(bytes);
        onChunk(bytes);
      },
      end: () => resolve(Buffer.concat(chunks)),
      fail: reject,
    });
  });
}

/** Counts the chunks that reach the stream of a request. */
function countStreamed(req: IncomingMessage): () => number {
  let count = 0;
  const push = req.push.bind(req);
  req.push = (chunk: Buffer | null, encoding) => {
    count += chunk === null ? 0 : 1;
    return push(chunk, encoding);
  };
  return () => count;
}

describe('RequestTap', () => {
  it('passes a request to its only reader without its stream, and counts the bytes', async () => {
    const body = patternBytes(2 * MiB);
    await withRequest(body, async (req) => {
      const readStreamed = countStreamed(req);
      const tap = RequestTap.on(req);
      expect(RequestTap.on(req)).toBe(tap);
      expect((await collect(req)).equals(body)).toBe(true);
      expect([tap.received, readStreamed(), req.complete]).toEqual([body.length, 0, true]);
    });
  });

  it('lets the stream of a paused request limit what it receives, and keeps the order', async () => {
    const body = patternBytes(32 * MiB);
    await withRequest(body, async (req) => {
      const tap = RequestTap.on(req);
      let isFirst = true;
      const collected = collect(req, () => {
        if (isFirst) req.pause();
        isFirst = false;
      });
      while (req.readableLength < req.readableHighWaterMark) await nextTurn();
      for (let turn = 0; turn < 100; turn++) await nextTurn();
      expect(tap.received).toBeLessThan(MiB);
      req.resume();
      expect((await collected).equals(body)).toBe(true);
      expect(tap.received).toBe(body.length);
    });
  });

  it('passes the rest of a request to a second reader after the first has stopped', async () => {
    const body = patternBytes(2 * MiB);
    await withRequest(body, async (req) => {
      RequestTap.on(req);
      const first = await new Promise<Buffer>((resolve) => {
        const stop = listen(req, {
          chunk(bytes) {
            stop();
            resolve(bytes);
          },
          end: () => {},
          fail: () => {},
        });
      });
      const rest = await collect(req);
      expect(Buffer.concat([first, rest]).equals(body)).toBe(true);
    });
  });

  it('reports a request that breaks off', async () => {
    await withRequest(patternBytes(2 * MiB), async (req) => {
      RequestTap.on(req);
      await expect(collect(req, () => req.socket.destroy())).rejects.toThrow('source closed early');
    });
  });

  it('calls back at the end of the body, before the stream ends', async () => {
    await withRequest(patternBytes(MiB), async (req) => {
      const events: string[] = [];
      req.on('end', () => events.push('stream'));
      RequestTap.on(req).onEnd(() => events.push('body'));
      await collect(req);
      await nextTurn();
      expect(events).toEqual(['body', 'stream']);
    });
  });

  it.each<[string, (req: IncomingMessage) => void]>([
    ['that something else reads', (req) => void req.on('data', () => {})],
    ['with an encoding', (req) => void req.setEncoding('latin1')],
  ])('leaves a request %s to its stream', async (_name, prepare) => {
    await withRequest(patternBytes(MiB), async (req) => {
      const readStreamed = countStreamed(req);
      RequestTap.on(req);
      prepare(req);
      await collect(req);
      expect(readStreamed()).toBeGreaterThan(0);
    });
  });

  it('passes the chunks to a listener that the host adds later, too', async () => {
    const body = patternBytes(2 * MiB);
    await withRequest(body, async (req) => {
      RequestTap.on(req);
      const seen: Buffer[] = [];
      let before = 0;
      const collected = collect(req, (chunk) => {
        if (before > 0) return;
        before = chunk.length;
        req.on('data', (later: Buffer) => seen.push(later));
      });
      expect((await collected).equals(body)).toBe(true);
      expect(Buffer.concat(seen).equals(body.subarray(before))).toBe(true);
    });
  });

  it('leaves a simulated request to its stream', async () => {
    const parts = [Buffer.from('first'), Buffer.from('second')];
    const source = new Readable({
      read() {
        this.push(parts.shift() ?? null);
      },
    }) as IncomingMessage;
    RequestTap.on(source);
    expect((await collect(source)).toString()).toBe('firstsecond');
  });
});
