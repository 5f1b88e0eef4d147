/**
 * What differs when the server of the host application speaks HTTP/2. Node's compatibility API then provides requests and
 * responses like those of HTTP/1.1, but requests share a connection, no header has to announce a body, and a request that
 * the client resets looks complete.
 */
import type { Http2ServerRequest, Http2ServerResponse, Http2Session } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Writable } from 'node:stream';

/** `NGHTTP2_NO_ERROR`. A program that does not use HTTP/2 should not load it. */
const noError = 0;
/** Small enough for hundreds of slow responses on one connection. Larger pieces are not faster. */
const maxPieceBytes = 32 * 1024;
/** Requests that a client may reset on a connection before it has to open another one. */
const maxResets = 128;

/** Returns the request as one of HTTP/2, or `undefined` for one of HTTP/1.1. */
export function asHttp2(req: IncomingMessage | Http2ServerRequest): Http2ServerRequest | undefined {
  return req.httpVersionMajor === 2 && 'stream' in req ? req : undefined;
}

const resets = Symbol('resets');

/**
 * Prepares a request of HTTP/2. Sets `Host`, which `:authority` replaces (RFC 9113, 8.3.1). Closes a stream that the client
 * resets: Node keeps it open while a response waits for a client that does not read any more. After many of them, lets the
 * connection end with its requests: Node still counts the unsent bytes of each as memory of the connection.
 */
export function adaptHttp2(req: IncomingMessage): void {
  const http2 = asHttp2(req);
  if (http2 === undefined) return;
  const { authority, stream } = http2;
  if (authority !== '') req.headers.host = authority;
  // The closed stream has no session.
  const session: (Http2Session & { [resets]?: number }) | undefined = stream.session;
  stream.once('aborted', () => {
    stream.destroy();
    if (session === undefined) return;
    session[resets] = (session[resets] ?? 0) + 1;
    if (session[resets] === maxResets) session.close();
  });
}

/**
 * Returns a sink for the body of a response over HTTP/2, which it does not end. It writes one small piece at a time. All bytes
 * that clients have not read count as memory of their connection, and Node refuses further requests at 10 MB
 * (`maxSessionMemory`).
 */
export function inSmallPieces(res: ServerResponse): Writable {
  const sink = new Writable({
    write(bytes: Buffer, _encoding, done) {
      let at = 0;
      const writeNext = (error?: Error | null): void => {
        if (error || at >= bytes.length) return done(error);
        const piece = bytes.subarray(at, (at += maxPieceBytes));
        res.write(piece, writeNext);
      };
      writeNext();
    },
  });
  if (isResponseClosed(res)) sink.destroy();
  else res.once('close', () => sink.destroy());
  return sink;
}

/** Ends a response with its body; over HTTP/2 in small pieces. */
export function endWith(req: IncomingMessage, res: ServerResponse, body: string | Buffer | undefined): void {
  if (body === undefined || asHttp2(req) === undefined) {
    res.end(body);
    return;
  }
  // A failed write closes the response.
  const sink = inSmallPieces(res).on('error', () => undefined);
  sink.end(body, () => res.end());
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

/**
 * Closes a response in the middle of its body. Over HTTP/2, a stream that is destroyed without an error ends like a complete
 * one; with an error, the client gets RST_STREAM.
 */
export function breakOff(res: ServerResponse | Http2ServerResponse): void {
  if ('stream' in res) res.destroy(new Error('the response was broken off'));
  else res.destroy();
}

/** Receives no more of a request that is answered. The other requests of the connection go on. */
export function endRequest({ stream }: Http2ServerRequest): void {
  stream.close(noError);
}
