import { describe, expect, it } from 'vitest';
import { createRuntime } from '../../../src/composition/runtime.js';
import { RequestRing } from '../../../src/operations/monitoring/recent-requests.js';
import type { RequestEvent } from '../../../src/ports/runtime.js';

const request: RequestEvent = {
  id: 'a',
  op: 'manifest.get',
  method: 'GET',
  url: '/v2/local/app/manifests/1',
  status: 200,
  durationMs: 1,
  bytesReceived: 0,
  bytesSent: 100,
  principal: 'ci',
  remoteAddress: '192.0.2.1',
  clientAddress: '192.0.2.1',
};

function createRing() {
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const runtime = { ...createRuntime(silent), now: () => 5 };
  const ring = new RequestRing(runtime);
  const answer = (count: number): void => {
    for (let i = 0; i < count; i++) runtime.emit('request', request);
  };
  const numbersAfter = (seq: number, limit = 1000): number[] => ring.after(seq, limit).map((one) => one.seq);
  return { ring, runtime, answer, numbersAfter };
}

describe('the latest requests', () => {
  it('are empty at first', () => {
    const { ring, numbersAfter } = createRing();
    expect(ring.latest(10)).toEqual([]);
    expect(numbersAfter(0)).toEqual([]);
  });

  it('are returned with their number and time, after a number', () => {
    const { ring, answer, numbersAfter } = createRing();
    answer(3);
    expect(ring.latest(1)).toEqual([{ ...request, at: 5, seq: 3 }]);
    expect(numbersAfter(0)).toEqual([1, 2, 3]);
    expect(numbersAfter(1)).toEqual([2, 3]);
    expect(numbersAfter(0, 2)).toEqual([1, 2]);
    expect(numbersAfter(3)).toEqual([]);
  });

  it('are the last 1000', () => {
    const { ring, answer, numbersAfter } = createRing();
    answer(2500);
    expect(numbersAfter(0)).toEqual(Array.from({ length: 1000 }, (_, i) => 1501 + i));
    expect(numbersAfter(2498)).toEqual([2499, 2500]);
    expect(ring.latest(5000)).toHaveLength(1000);
  });

  it('keep nothing of the requests that they replace', () => {
    const full: Required<RequestEvent> = {
      id: 'b',
      op: 'blob.get',
      method: 'HEAD',
      url: '/v2/hub/app/blobs/1',
      status: 404,
      durationMs: 2,
      bytesReceived: 3,
      bytesSent: 4,
      principal: 'dev',
      remoteAddress: '192.0.2.2',
      clientAddress: '192.0.2.3',
      userAgent: 'docker',
      errorCode: 'BLOB_UNKNOWN',
      cache: 'miss',
      servedBy: 'hub',
    };
    const { ring, runtime } = createRing();
    for (const [turn, event] of [request, full, request].entries()) {
      for (let i = 0; i < 1000; i++) runtime.emit('request', event);
      expect(ring.latest(1)).toStrictEqual([{ ...event, at: 5, seq: 1000 * (turn + 1) }]);
    }
  });

  it.each([
    ['a URL with characters beyond ASCII', `/v2/${'é…𝄞'.repeat(20)}`],
    ['the longest URL', `/v2/?${'…'.repeat(2043)}`],
  ])('are returned with %s', (_what, url) => {
    const { ring, runtime } = createRing();
    for (const one of [url, '/v2/', url]) {
      runtime.emit('request', { ...request, url: one });
      expect(ring.latest(1)).toMatchObject([{ id: 'a', url: one }]);
    }
  });

  it('are kept when the host removes its listeners', () => {
    const { ring, runtime, answer } = createRing();
    runtime.events.removeAllListeners();
    answer(1);
    expect(ring.latest(1)).toHaveLength(1);
  });

  it('are all returned after a number of an earlier process', () => {
    const { answer, numbersAfter } = createRing();
    answer(2);
    expect(numbersAfter(900)).toEqual([1, 2]);
  });

  it('are not kept after closing', () => {
    const { ring, runtime, answer } = createRing();
    ring.close();
    answer(1);
    expect(ring.latest(1)).toEqual([]);
    expect(runtime.isHeard('request')).toBe(false);
  });
});
