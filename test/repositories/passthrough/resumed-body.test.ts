import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { UpstreamBlob, UpstreamResult } from '../../../src/ports/upstream.js';
import { resumedBody } from '../../../src/repositories/passthrough/resumed-body.js';

const bytes = Buffer.from('0123456789');
const size = bytes.length;

/** Returns the bytes from an offset to an end, as an upstream answers. */
function part(offset: number, end = size): UpstreamBlob {
  return { size, offset, body: Readable.from([bytes.subarray(offset, end)], { objectMode: false }) };
}

/** Answers each request with the next blob, and notes the offsets. */
function upstream(...blobs: readonly UpstreamBlob[]) {
  const asked: number[] = [];
  const left = [...blobs];
  const ask = (offset: number): Promise<UpstreamResult<UpstreamBlob>> => {
    asked.push(offset);
    const value = left.shift();
    return Promise.resolve(value === undefined ? { type: 'absent' } : { type: 'found', value });
  };
  return { asked, ask };
}

describe('a resumed body', () => {
  it.each([
    ['a part from where it stopped', [part(4)], [4]],
    ['the whole body again', [part(0)], [4]],
    ['two short parts', [part(4, 7), part(7)], [4, 7]],
  ])('is complete when the upstream sends %s', async (_what, blobs, offsets) => {
    const { ask, asked } = upstream(...blobs);
    expect(await buffer(resumedBody(part(0, 4), { start: 0, size, ask }))).toEqual(bytes);
    expect(asked).toEqual(offsets);
  });

  it('starts at an offset although the upstream sends the whole body', async () => {
    const { ask } = upstream();
    expect(await buffer(resumedBody(part(0), { start: 6, size, ask }))).toEqual(bytes.subarray(6));
  });

  it('fails when the upstream sends nothing more, after three more attempts', async () => {
    const { ask, asked } = upstream(part(0, 4), part(0, 4), part(0, 4), part(0, 4));
    await expect(buffer(resumedBody(part(0, 4), { start: 0, size, ask }))).rejects.toThrow('no more of the blob');
    expect(asked).toEqual([4, 4, 4, 4]);
  });

  it('asks for nothing and closes its connection when the reader leaves', async () => {
    const { ask, asked } = upstream(part(4));
    const body = new PassThrough();
    body.write('0123');
    const stream = resumedBody({ size, offset: 0, body }, { start: 0, size, ask });
    expect(String((await once(stream, 'data'))[0])).toBe('0123');
    stream.destroy();
    await once(stream, 'close');
    await new Promise((resolve) => setImmediate(resolve));
    expect([body.destroyed, asked]).toEqual([true, []]);
  });
});
