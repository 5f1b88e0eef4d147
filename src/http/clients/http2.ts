/**
 * What differs when the server of the host application speaks HTTP/2. Node's compatibility API then provides requests and
 * responses like those of HTTP/1.1, but requests share a connection, no header has to announce a body, and a request that
 * the client resets looks complete.
 */
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** `NGHTTP2_NO_ERROR`. A program that does not use HTTP/2 should not load it. */
const noError = 0;

/** Returns the request as one of HTTP/2, or `undefined` for one of HTTP/1.1. */
export function asHttp2(req: IncomingMessage | Http2ServerRequest): Http2ServerRequest | undefined {
  return req.httpVersionMajor === 2 && 'stream' in req ? req : undefined;
}

/**
 * Prepares a request of HTTP/2. Sets `Host`, which `:authority` replaces (RFC 9113, 8.3.1). Closes a stream that the client
 * resets: Node keeps it open while a response waits for a client that does not read any more.
 */
export function adaptHttp2(req: IncomingMessage): void {
  const http2 = asHttp2(req);
  if (http2 === undefined) return;
  const { authority, stream } = http2;
  if (authority !== '') req.headers.host = authority;
  stream.once('aborted', () => stream.destroy());
}

/** Returns whether the client of HTTP/2 reset the request. */
export function isReset(req: IncomingMessage): boolean {
  return asHttp2(req)?.stream.aborted === true;
}

/** Returns whether no more of a response can be sent. A response over HTTP/2 has no `destroyed`. */
export function isResponseClosed(res: ServerResponse | Http2ServerResponse): boolean {
  if ('destroyed' in res && res.destroyed) return true;
  return 'stream' in res && (res.stream.destroyed || res.stream.aborted);
}

/** Receives no more of a request that is answered. The other requests of the connection go on. */
export function endRequest({ stream }: Http2ServerRequest): void {
  stream.close(noError);
}
