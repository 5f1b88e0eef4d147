import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { formatRequest } from '../../../src/command/serve/log/serve-log.js';
import type { RequestEvent } from '../../../src/ports/runtime.js';

const time = ',"time":"2026-11-29T12:00:00.000Z"';

const plain: RequestEvent = {
  id: '0b0a6e7c-2f5e-4d0a-9b65-6f0a3c1d2e3f',
  op: 'manifest.get',
  principal: 'anonymous',
  clientAddress: '127.0.0.1',
  method: 'GET',
  url: '/v2/local/app/manifests/latest',
  status: 200,
  durationMs: 0.125,
  bytesReceived: 0,
  bytesSent: 1517,
  remoteAddress: '127.0.0.1',
};

/** Returns the line of a logger with the settings of `serve`. */
function lineOfPino(event: RequestEvent): string {
  let written = '';
  const log = pino(
    { base: null, timestamp: () => time, formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => void (written += line) },
  );
  log.info(event, 'request');
  return written;
}

describe('formatRequest', () => {
  const hostile = [
    '"},"level":"fatal","x":{"',
    'a\nb\r\n{"level":"error"}',
    '\\',
    '\\"',
    '\u0000\u001F\u007F\u0080',
    '\u2028\u2029',
    'ä 漢 😀',
    '</script>',
    '',
    'x'.repeat(2048),
  ];

  it.each(hostile)('writes the same line as pino when clients choose the texts: %j', (text) => {
    const event = {
      ...plain,
      id: text,
      principal: text,
      method: text,
      url: text,
      clientAddress: text,
      userAgent: text,
    };
    const line = formatRequest(time, event);
    expect(line).toBe(lineOfPino(event));
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(JSON.parse(line)).toEqual({ level: 'info', time: '2026-11-29T12:00:00.000Z', ...event, msg: 'request' });
  });

  it('escapes half a surrogate pair, which has no form in UTF-8', () => {
    const line = formatRequest(time, { ...plain, url: '/\uD800' });
    expect(JSON.parse(Buffer.from(line).toString())).toMatchObject({ url: '/\uD800' });
  });

  it('writes the same line as pino with and without the optional fields, in the same order', () => {
    const complete: RequestEvent = {
      ...plain,
      userAgent: 'docker',
      errorCode: 'DENIED',
      cache: 'hit',
      servedBy: 'hub',
    };
    for (const event of [plain, complete]) expect(formatRequest(time, event)).toBe(lineOfPino(event));
  });
});
