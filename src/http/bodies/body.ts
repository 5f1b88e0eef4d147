/**
 * Request bodies, forms and JSON documents, and sending files by the proxy in front. Imported by http/, the composition
 * root and the command's server.
 */
import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { RegistryError } from '../../protocol/errors.js';
import { drain } from '../../util/streams/streams.js';
import { asHttp2, endRequest } from '../clients/http2.js';
import { RequestTap } from './request-tap.js';

/**
 * Returns the unread body of a request.
 * @throws RegistryError UNKNOWN 500 when a middleware of the host has already read it.
 */
export function openBody(req: IncomingMessage): IncomingMessage {
  if (announcesBody(req) && req.readableDidRead) {
    throw new RegistryError('UNKNOWN', {
      message:
        'the request body was consumed before it reached the registry: mount the registry in front of body parsers',
    });
  }
  return req;
}

/** Returns the Content-Length in bytes, or `undefined` for a chunked body. */
export function declaredLength(req: IncomingMessage): number | undefined {
  const text = req.headers['content-length'];
  return text === undefined ? undefined : Number(text);
}

/** Returns whether the headers announce a body. A chunked body, or one over HTTP/2, may still be empty. */
export function announcesBody(req: IncomingMessage): boolean {
  const http2 = asHttp2(req);
  if (http2 !== undefined) return !http2.stream.endAfterHeaders;
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

/** Counts the bytes of a request body as they arrive. Returns a function that reads the count. */
export function countBody(req: IncomingMessage): () => number {
  if (!announcesBody(req)) return () => 0;
  const tap = RequestTap.on(req);
  return () => tap.received;
}

/** Limits for discarding the body of a GET or HEAD before the response. */
const earlyLimits = { maxBytes: 64 * 1024, maxMs: 5000 };

/**
 * Starts to discard the body of a GET or HEAD so that it does not occupy memory while the response is sent. Returns
 * `undefined` when there is nothing to discard.
 */
export function discardEarly(req: IncomingMessage): Promise<unknown> | undefined {
  const needsNone = req.method === 'GET' || req.method === 'HEAD';
  return needsNone && !req.complete && announcesBody(req) ? drain(req, earlyLimits) : undefined;
}

/** Limits for discarding an unread body after the response, so that the client sees the response instead of a reset. */
const discardLimits = { maxBytes: 64 * 1024 * 1024, maxMs: 5000, lingerMs: 1000 };

/**
 * Keeps the connection of a request open until its body is read, even if it closes with the response
 * (`Connection: close`): closing it earlier resets it, and the client misses the response (RFC 9112, 9.6). Call it before
 * the response. The function that it returns reads and discards the rest of the body after the response. It resolves to
 * false when it reaches the limits first; the connection then closes after at most `lingerMs`, even if the client does not
 * read the response.
 */
export function holdConnection(req: IncomingMessage, limits = discardLimits): () => Promise<boolean> {
  const { socket } = req;
  const http2 = asHttp2(req);
  if (http2 !== undefined) return () => discardStream(http2, limits);
  // Frameworks simulate requests in tests, with sockets that cannot close.
  if (req.complete || !announcesBody(req) || typeof socket.destroySoon !== 'function')
    return () => discard(req, limits);
  let isDue = false;
  // Node calls it once the response is sent.
  socket.destroySoon = () => void (isDue = true);
  const letGo = (): void => {
    Reflect.deleteProperty(socket, 'destroySoon');
    if (isDue) socket.destroySoon();
  };
  // The event `end` comes later: Node would answer a request that follows the body in the same packet.
  RequestTap.on(req).onEnd(letGo);
  return async () => {
    if (await discard(req, limits)) return true;
    letGo();
    socket.destroySoon();
    const linger = setTimeout(() => socket.destroy(), limits.lingerMs).unref();
    socket.once('close', () => clearTimeout(linger));
    return false;
  };
}

async function discardStream(req: Http2ServerRequest, limits: typeof discardLimits): Promise<boolean> {
  if (req.stream.readableEnded || req.stream.destroyed || (await drain(req, limits))) return true;
  endRequest(req);
  return false;
}

async function discard(req: IncomingMessage, limits: typeof discardLimits): Promise<boolean> {
  if (req.complete) return true;
  const { socket } = req;
  // Once the response is sent, Node no longer emits `close` on the request when the connection closes.
  const onClose = (): void => void req.destroy();
  socket.once('close', onClose);
  const drained = await drain(req, limits);
  socket.off('close', onClose);
  return drained || socket.destroyed;
}
