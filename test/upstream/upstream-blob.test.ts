import { PassThrough } from 'node:stream';
import { on, once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { parseDigest } from '../../src/protocol/digest.js';
import { readBlob } from '../../src/upstream/upstream-blob.js';
import type { Answer } from '../../src/util/outgoing/transport.js';
import { MiB } from '../support/content/bytes.js';
import { digest } from '../support/content/content.js';

const hop = {
  method: 'GET',
  url: new URL('https://r.example/'),
  headers: {},
  credentials: {},
  elsewhere: false,
} as const;

/** Returns a blob that is too large to be unpacked, and the body that it arrives in, which has not ended. */
async function open() {
  const body = new PassThrough({ highWaterMark: 8 * MiB });
  body.write(Buffer.alloc(5 * MiB));
  // Only these parts of an answer are read.
  const answer = { status: 200, headers: { 'content-encoding': 'gzip' }, body, hop } as unknown as Answer;
  return { body, blob: await readBlob(answer, parseDigest(digest('x'))) };
}

/** Reads what has arrived. The stream then waits for more. */
async function readAll(blob: PassThrough): Promise<void> {
  let received = 0;
  for await (const [chunk] of on(blob, 'data') as AsyncIterable<[Buffer]>) {
    received += chunk.length;
    if (received === 5 * MiB) return;
  }
}

describe('a large blob that is sent as gzip', () => {
  it.each([
    ['before it is read', () => Promise.resolve()],
    ['while its first bytes are read', (blob: PassThrough) => once(blob, 'readable')],
    ['while it waits for more bytes', readAll],
  ])('closes the connection when it is given up %s', async (_when, read) => {
    const { body, blob } = await open();
    await read(blob.body as PassThrough);
    blob.body.destroy();
    await once(blob.body, 'close');
    expect(body.destroyed).toBe(true);
  });
});
