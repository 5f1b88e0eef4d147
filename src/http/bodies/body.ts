import type { IncomingMessage } from 'node:http';
import { RegistryError } from '../../protocol/errors.js';
import { drain, readBounded, SourceClosedError } from '../../util/streams.js';

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

/**
 * @throws RegistryError of `tooLarge` when the body has more than `maxBytes`; BLOB_UPLOAD_INVALID when it breaks off.
 */
export async function readBody(req: IncomingMessage, maxBytes: number, tooLarge: () => RegistryError): Promise<Buffer> {
  const source = openBody(req);
  if (Number(req.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  const bytes = await readBounded(source, maxBytes).catch((cause: unknown) => {
    if (!(cause instanceof SourceClosedError)) throw cause;
    throw new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the request body ended early', cause });
  });
  if (bytes === undefined) throw tooLarge();
  return bytes;
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
