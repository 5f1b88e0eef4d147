import { beforeAll, describe, expect, it } from 'vitest';
import { createReadableFormat } from '../../../src/command/serve/log/readable-lines.js';

let format: (line: object) => string;
beforeAll(async () => {
  const formatLine = await createReadableFormat(false);
  format = (line) => formatLine(`${JSON.stringify({ level: 'info', time: '2026-01-01T12:00:00.250Z', ...line })}\n`);
});

const request = {
  id: '4f0c9f6e',
  op: 'manifest.get',
  principal: 'ana',
  clientAddress: '192.0.2.7',
  method: 'GET',
  url: '/v2/local/app/manifests/1',
  status: 200,
  durationMs: 1.283,
  bytesReceived: 0,
  bytesSent: 2741,
  remoteAddress: '127.0.0.1',
  msg: 'request',
};

describe('the readable log', () => {
  it.each<[string, object, string]>([
    [
      'a request',
      { ...request, userAgent: 'docker/28' },
      'GET /v2/local/app/manifests/1 200 | 1.3 ms | 0 bytes in, 2.68 KiB out | ana 192.0.2.7 | docker/28 | 4f0c9f6e',
    ],
    [
      'a refused request before anyone is known',
      { ...request, principal: '', status: 401, errorCode: 'UNAUTHORIZED' },
      'GET /v2/local/app/manifests/1 401 UNAUTHORIZED | 1.3 ms | 0 bytes in, 2.68 KiB out | 192.0.2.7 | 4f0c9f6e',
    ],
    [
      'an answer of a cache',
      { ...request, cache: 'hit', servedBy: 'hub' },
      'GET /v2/local/app/manifests/1 200 | 1.3 ms | 0 bytes in, 2.68 KiB out | ana 192.0.2.7 | hit from hub | 4f0c9f6e',
    ],
  ])('has one line for %s', (_title, line, expected) => {
    expect(format(line)).toMatch(/^\[\d\d:\d\d:00\.250\] INFO: .*\n$/);
    expect(format(line)).toContain(`INFO: ${expected}\n`);
  });

  it('has the fields of other lines behind the message', () => {
    expect(format({ level: 'warn', msg: 'circuit breaker opened', repository: 'hub', waitMs: 5 })).toContain(
      'WARN: circuit breaker opened {"repository":"hub","waitMs":5}\n',
    );
  });

  it('keeps the lines of a stack', () => {
    const err = { type: 'Error', message: 'broken', stack: 'Error: broken\n    at here' };
    expect(format({ level: 'error', msg: 'request failed', err })).toMatch(/Error: broken\n +at here/);
  });

  it.each([
    ['a user agent', { ...request, userAgent: '\u001b[31mred\u009b2J' }],
    ['a message', { msg: 'bad \u001b]0;title\u0007 \b\r answer' }],
    ['a stack', { msg: 'failed', err: { type: 'Error', message: 'x', stack: 'Error: \u001b[2J\n    at here' } }],
  ])('does not pass on control characters of %s to the terminal', (_title, line) => {
    expect(format(line)).toMatch(/^[^\p{Cc}]+\n(?:[^\p{Cc}]+\n)*$/u);
  });
});
