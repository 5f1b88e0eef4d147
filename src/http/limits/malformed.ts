import { STATUS_CODES, type IncomingMessage } from 'node:http';
import { encodeError, RegistryError } from '../../protocol/errors.js';
import { guardHeaders } from '../answer-headers.js';

/** Ten times the length of a URL with the longest name, a digest and dozens of tags. */
const maxUrlChars = 8192;
/** Clients send about a dozen. Beyond its own limit, Node silently drops headers, perhaps an important one. */
const maxHeaders = 200;

/**
 * Returns the problem with a request that Node's parser accepted, or `undefined`. Node can refuse a request without `Host`
 * itself, but would send an empty body (RFC 9112, 3.2).
 */
export function findMalformation({ httpVersion, rawHeaders, url = '' }: IncomingMessage): RegistryError | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return malformed(505, 'only HTTP/1.1 and HTTP/1.0 are supported');
  }
  if (url.length > maxUrlChars) return malformed(414, 'the URL is too long');
  // Hosts would pass it to url.parse, which throws or prints a warning.
  if (!url.startsWith('/') && url !== '*' && !URL.canParse(url)) return malformed(400, 'invalid URL');
  if (rawHeaders.length / 2 > maxHeaders) return malformed(431, 'too many headers');
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') hosts++;
  }
  if (hosts > 1) return malformed(400, 'more than one Host header');
  if (hosts === 0 && httpVersion === '1.1') return malformed(400, 'missing Host header');
  return undefined;
}

const parserErrors: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the headers are too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'the chunk extensions are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the headers took too long to arrive'],
};

/**
 * Returns the error for a request that Node's parser rejected, or `undefined` if it is not HTTP or the client is gone.
 */
export function explainParserError(code = ''): RegistryError | undefined {
  const known = parserErrors[code];
  if (known !== undefined) return malformed(...known);
  return code.startsWith('HPE_') ? malformed(400, 'invalid HTTP/1.1 request') : undefined;
}

/** Returns the error for a CONNECT request, which asks for a proxy. */
export function refuseConnect(): RegistryError {
  return malformed(405, 'CONNECT is not supported: this server is not a proxy');
}

/** Formats a whole response for a connection without a response object. The connection closes after it. */
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
