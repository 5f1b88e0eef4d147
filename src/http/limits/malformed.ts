import { STATUS_CODES, type IncomingMessage } from 'node:http';
import { encodeError, RegistryError } from '../../protocol/errors.js';
import { guardHeaders } from '../answer-headers.js';

/** A name of 255, a digest, and tags by the dozen fit in a tenth of it. */
const maxUrlChars = 8192;
/** Clients send a dozen. Node drops silently what is beyond its own limit, and with it what may matter. */
const maxHeaders = 200;

/**
 * What is wrong with a request that node's parser let pass; `undefined` for nearly all. A request without `Host` is refused
 * by node too, unless it is told not to, but without a word (RFC 9112, 3.2).
 */
export function findMalformation({ httpVersion, rawHeaders, url = '' }: IncomingMessage): RegistryError | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return malformed(505, 'only HTTP/1.1 and HTTP/1.0 are spoken here');
  }
  if (url.length > maxUrlChars) return malformed(414, 'the URL is too long');
  if (rawHeaders.length / 2 > maxHeaders) return malformed(431, 'there are too many headers');
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') hosts++;
  }
  if (hosts > 1) return malformed(400, 'there is more than one Host header');
  if (hosts === 0 && httpVersion === '1.1') return malformed(400, 'the Host header is missing');
  return undefined;
}

const parserErrors: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the headers are too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'the chunk extensions are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the headers took too long to come'],
};

/** What to answer to something that node's parser gave up on; `undefined` when it is no HTTP, or nobody is left. */
export function explainParserError(code = ''): RegistryError | undefined {
  const known = parserErrors[code];
  if (known !== undefined) return malformed(...known);
  return code.startsWith('HPE_') ? malformed(400, 'this is not a valid HTTP/1.1 request') : undefined;
}

/** CONNECT makes a proxy of a server. */
export function refuseConnect(): RegistryError {
  return malformed(405, 'this is no proxy');
}

/** An answer as it goes over the wire, for a connection that has no response object. It is the last one there. */
export function formatLastAnswer(error: RegistryError, requestId: string): string {
  const body = encodeError(error);
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    ...Object.entries(guardHeaders).map(([name, value]) => `${name}: ${value}`),
    `Date: ${new Date().toUTCString()}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function malformed(status: number, message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status, message });
}
