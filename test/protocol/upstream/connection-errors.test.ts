import { describe, expect, it } from 'vitest';
import { verdictOf } from '../../../src/protocol/upstream/connection-errors.js';
import { failed } from '../../../src/protocol/upstream/verdict.js';

describe('verdictOf', () => {
  it.each([
    [failed('no answer in time'), 'no answer in time'],
    [Object.assign(new Error('to http://x/?signature=1'), { code: 'ECONNREFUSED' }), 'the connection was refused'],
    [new AggregateError([Object.assign(new Error('x'), { code: 'ENETUNREACH' })]), 'its network is unreachable'],
    [Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT' }), 'its certificate or TLS fails (SELF_SIGNED_CERT)'],
    [Object.assign(new Error('x'), { code: 'HPE_INVALID_CONSTANT' }), 'its answer is not HTTP (HPE_INVALID_CONSTANT)'],
    [new TypeError('http://x/?signature=1'), 'the request failed (TypeError)'],
    ['text', 'the request failed (unknown)'],
    [
      new Error('x', { cause: Object.assign(new Error('aborted'), { code: 'ECONNRESET' }) }),
      'the connection was closed before the answer was complete',
    ],
    [Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }), 'the connection was reset'],
  ])('describes %s as: %s', (error, reason) => {
    expect(verdictOf(error)).toMatchObject({ type: 'failed', message: reason });
  });
});
