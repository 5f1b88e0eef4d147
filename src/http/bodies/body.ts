import type { IncomingMessage } from 'node:http';
import { RegistryError } from '../../protocol/errors.js';
import { drain } from '../../util/streams.js';

/**
 * The request's body, not yet read.
 * @throws RegistryError UNKNOWN 500 when something in front of the registry has read it: that is the host's mistake.
 */
export function openBody(req: IncomingMessage): IncomingMessage {
  if (announcesBody(req) && req.readableDidRead) {
    throw new RegistryError('UNKNOWN', {
      message: 'the request body was consumed before it reached the registry: mount it in front of body parsers',
    });
  }
  return req;
}

/** The announced length; `undefined` for a chunked body. */
export function contentLengthOf(req: IncomingMessage): number | undefined {
  const text = req.headers['content-length'];
  return text === undefined ? undefined : Number(text);
}

/** Whether a body comes with the request, if only an empty one in chunks. */
export function announcesBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

/** How much of a body that a GET or HEAD brings is discarded before the answer. */
const earlyLimits = { maxBytes: 64 * 1024, maxMs: 5000 };

/**
 * Starts to discard the body of a request that needs none, so that it does not wait in memory while the answer is sent.
 * Returns `undefined` when there is nothing to discard.
 */
export function discardEarly(req: IncomingMessage): Promise<unknown> | undefined {
  const needsNone = req.method === 'GET' || req.method === 'HEAD';
  return needsNone && !req.complete && announcesBody(req) ? drain(req, earlyLimits) : undefined;
}

/** How much of a body that nobody wants is read after the answer, so that the client sees the answer instead of a reset. */
const discardLimits = { maxBytes: 64 * 1024 * 1024, maxMs: 5000, lingerMs: 1000 };

/**
 * Reads and discards the rest of a body whose request is answered. Returns false when the limits are reached first; then the
 * connection is closed, at the latest after `lingerMs`, even when the client does not read the answer.
 */
export async function discardRest(req: IncomingMessage, limits = discardLimits): Promise<boolean> {
  if (req.complete) return true;
  const { socket } = req;
  // Once the answer is sent, Node does not report to the request that the connection closed.
  const onClose = (): void => void req.destroy();
  socket.once('close', onClose);
  const drained = await drain(req, limits);
  socket.off('close', onClose);
  if (drained || socket.destroyed) return true;
  socket.destroySoon();
  const linger = setTimeout(() => socket.destroy(), limits.lingerMs).unref();
  socket.once('close', () => clearTimeout(linger));
  return false;
}
