import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { BodyReader } from '../../../src/http/bodies/body-reader.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { KiB, MiB } from '../../support/content/bytes.js';

const tooLarge = (): RegistryError => new RegistryError('SIZE_INVALID', { status: 413 });

/** Returns a complete request with these bytes as its body. */
function requestOf(
  bytes: Buffer,
  headers: Record<string, string> = { 'transfer-encoding': 'chunked' },
): IncomingMessage {
  const req = new IncomingMessage(new Socket());
  Object.assign(req.headers, headers);
  req.push(bytes);
  req.push(null);
  req.complete = true;
  return req;
}

/** Reads a body of `size` bytes and keeps it until `release` is called. */
function hold(bodies: BodyReader, address: string, size: number) {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  let onRead = (): void => {};
  const read = new Promise<void>((resolve) => (onRead = resolve));
  const done = bodies.use(requestOf(Buffer.alloc(size)), address, async (body) => {
    const bytes = await body.read(4 * MiB, tooLarge);
    onRead();
    await released;
    return bytes.length;
  });
  done.catch(onRead);
  return { read, release: () => release(), done };
}

describe('BodyReader', () => {
  it.each([
    [
      'a body whose Content-Length is too large',
      requestOf(Buffer.alloc(10), { 'content-length': '11' }),
      'SIZE_INVALID',
      413,
    ],
    ['a chunked body that is too large', requestOf(Buffer.alloc(11)), 'SIZE_INVALID', 413],
  ])('refuses %s with 413', async (_name, req, code, status) => {
    const reading = new BodyReader().use(req, '10.0.0.1', (body) => body.read(10, tooLarge));
    await expect(reading).rejects.toMatchObject({ code, status });
  });

  it('holds at most 8 large bodies per client and 16 in total, but any number of small ones', async () => {
    const bodies = new BodyReader();
    const first = Array.from({ length: 8 }, () => hold(bodies, '10.0.0.1', 65 * KiB));
    const second = Array.from({ length: 8 }, () => hold(bodies, '10.0.0.2', 65 * KiB));
    await Promise.all([...first, ...second].map(({ read }) => read));
    const refusal = { code: 'TOOMANYREQUESTS', status: 429, refusal: 'large_bodies', headers: { 'Retry-After': '1' } };
    await expect(hold(bodies, '10.0.0.3', 65 * KiB).done).rejects.toMatchObject(refusal);
    const small = Array.from({ length: 50 }, () => hold(bodies, '10.0.0.1', 64 * KiB));
    for (const { release } of [...small, ...second]) release();
    expect(await Promise.all(small.map(({ done }) => done))).toEqual(small.map(() => 64 * KiB));
    await Promise.all(second.map(({ done }) => done));
    await expect(hold(bodies, '10.0.0.1', 65 * KiB).done).rejects.toMatchObject(refusal);
    for (const { release } of first) release();
    await Promise.all(first.map(({ done }) => done));
    const again = hold(bodies, '10.0.0.1', 65 * KiB);
    again.release();
    expect(await again.done).toBe(65 * KiB);
  });

  it('hands over large bodies in different turns of the event loop', async () => {
    const bodies = new BodyReader();
    let turn = 0;
    const timer = { running: true };
    const count = (): void => {
      turn++;
      if (timer.running) setImmediate(count);
    };
    setImmediate(count);
    const turns = await Promise.all(
      Array.from({ length: 5 }, () =>
        bodies.use(requestOf(Buffer.alloc(100 * KiB)), '10.0.0.1', async (body) => {
          await body.read(MiB, tooLarge);
          return turn;
        }),
      ),
    );
    timer.running = false;
    expect(new Set(turns).size).toBe(5);
  });
});
