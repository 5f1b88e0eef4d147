import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BlobContent } from '../ports/bytes.js';
import type { Forward } from '../ports/upstream.js';
import type { Logger } from '../ports/runtime.js';
import type { Provenance } from '../ports/metadata/images.js';
import type { PulledManifest } from '../ports/operations/webhooks.js';
import { encodeError, type RegistryError } from '../protocol/errors.js';
import { commonHeaders, type AnswerContext } from './answer-headers.js';
import { asHttp2, breakOff, endWith, inSmallPieces, isResponseClosed } from './clients/http2.js';
import { describeProvenance } from './provenance.js';

/** The response of a handler, as plain data. Only `send` writes to the response object. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Absent: no body. Content-Length is then 0 unless `headers` set it, as HEAD does. */
  readonly body?: string | Buffer | BlobBody;
  /** The manifest that was pulled, if the response sends one. */
  readonly pulled?: PulledManifest | undefined;
  /** Set when a cache answered. */
  readonly provenance?: Provenance | undefined;
  /** The `ns` parameter that was used. */
  readonly namespace?: string;
}

/** Forwards the request to an upstream. */
export interface ForwardReply {
  readonly forward: Forward;
  readonly context: {
    readonly extraHeaders: Readonly<Record<string, string>>;
    readonly contentTypes: readonly string[];
  };
  /** The start of the paths that are mapped: `/v2/` and the name that the client used. */
  readonly mount: string;
}

/** A body that is read from storage while it is sent. */
export interface BlobBody {
  readonly content: Omit<BlobContent, 'size'>;
  /** The length of the range to send, in bytes; `undefined` when it is not known. */
  readonly length: number | undefined;
  /** Headers that make the reverse proxy send the file. The body is then left to the proxy. */
  readonly offload?: Readonly<Record<string, string>>;
}

/** Returns a response with a JSON body. */
export function jsonReply(status: number, value: unknown, headers: Reply['headers'] = {}): Reply {
  // No charset: some clients compare the whole value.
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(value) };
}

/** Returns the response for an error. */
export function errorReply(error: RegistryError): Reply {
  return {
    status: error.status,
    headers: { 'Content-Type': 'application/json', ...error.headers },
    body: encodeError(error),
  };
}

/**
 * Sends the response. Returns a promise for a blob, which resolves when it is sent or the client disconnected. A read that
 * fails halfway destroys the connection: a truncated blob must not look complete. The promise rejects when reading a blob
 * fails before its first byte is sent. The response is untouched then, for an error response.
 */
export function send(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply,
  context: AnswerContext & { readonly now: number; readonly log: Logger },
): Promise<void> | undefined {
  if (isResponseClosed(res)) return undefined;
  const { status, headers, body, provenance, namespace } = reply;
  const blob = isBlobBody(body) ? body : undefined;
  const bare = status === 204 || status === 304;
  // Object.assign instead of spreads: several spreads in one literal take a slow path of V8, about 4 µs per response.
  const all: Record<string, string | number | string[]> = Object.assign(
    {},
    bare ? undefined : lengthHeader(body),
    describeProvenance(provenance, context.now),
    namespace === undefined ? undefined : { 'OCI-Namespace': namespace },
    headers,
    blob?.offload,
    commonHeaders(context, headers?.['Cache-Control']?.toString()),
  );
  // HTTP/2 does not allow it (RFC 9113, 8.2.2): Node would leave it out and print a warning.
  if (all['Connection'] !== undefined && asHttp2(req) !== undefined) delete all['Connection'];
  if (blob !== undefined && blob.offload === undefined && !bare && req.method !== 'HEAD') {
    return sendContent(req, res, status, all, blob, (err) => {
      context.log.error({ err, id: context.id, path: blob.content.path }, 'sending a blob failed');
    });
  }
  // The reverse proxy applies the range itself, and only to a 200.
  res.writeHead(blob?.offload === undefined ? status : 200, all);
  if (isBlobBody(body) || bare || req.method === 'HEAD') res.end();
  else endWith(req, res, body);
  return undefined;
}

/** Returns whether the body is a blob, which is read while it is sent. */
export function isBlobBody(body: Reply['body']): body is BlobBody {
  return typeof body === 'object' && 'content' in body;
}

function lengthHeader(body: Reply['body']): { 'Content-Length': number } | undefined {
  if (!isBlobBody(body)) return { 'Content-Length': Buffer.byteLength(body ?? '') };
  const length = body.offload === undefined ? body.length : 0;
  return length === undefined ? undefined : { 'Content-Length': length };
}

/**
 * Sends a blob. The headers leave with its first byte, so a file that cannot be opened still gets an error response.
 */
async function sendContent(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string | number | string[]>>,
  { content }: BlobBody,
  onFailure: (error: unknown) => void,
): Promise<void> {
  res.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  try {
    await content.writeTo(asHttp2(req) === undefined ? res : inSmallPieces(res));
    res.end();
  } catch (cause) {
    if (!res.headersSent && !isResponseClosed(res)) {
      for (const name of Object.keys(headers)) res.removeHeader(name);
      throw cause;
    }
    if (!hasClientLeft(res)) onFailure(cause);
    breakOff(res);
  }
}

/** Returns whether the client disconnected. A failed write is reported before the response is destroyed. */
function hasClientLeft(res: ServerResponse): boolean {
  return isResponseClosed(res) || (res.socket?.errored ?? null) !== null;
}
