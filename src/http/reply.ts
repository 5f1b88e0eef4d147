import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BlobContent } from '../ports/bytes.js';
import type { Forward } from '../ports/upstream.js';
import type { Logger } from '../ports/runtime.js';
import type { Provenance } from '../ports/images.js';
import { encodeError, type RegistryError } from '../protocol/errors.js';
import { commonHeaders, type AnswerContext } from './answer-headers.js';
import { describeProvenance } from './provenance.js';

/** What a handler answers, as plain data; `send` alone touches the response. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Absent: no body, and a Content-Length of 0 unless the headers give the one that a GET would have. */
  readonly body?: string | Buffer | BlobBody;
  /** Where it came from, when a cache answered. */
  readonly provenance?: Provenance | undefined;
  /** The `ns` that was heeded. */
  readonly namespace?: string;
}

/** The exchange goes to an upstream as it is. */
export interface ForwardReply {
  readonly forward: Forward;
  readonly context: {
    readonly trail: readonly string[];
    readonly extraHeaders: Readonly<Record<string, string>>;
    readonly contentTypes: readonly string[];
  };
  /** What precedes the mapped paths: `/v2/` and the name that the client used. */
  readonly mount: string;
}

export interface BlobBody {
  readonly content: BlobContent;
  /** The length of the range that is sent. */
  readonly length: number;
  /** Headers that have the proxy in front send the file: it gets these and no byte, and makes the answer of the reply. */
  readonly offload?: Readonly<Record<string, string>>;
}

export function jsonReply(status: number, value: unknown, headers: Reply['headers'] = {}): Reply {
  // No charset: some clients compare the whole value.
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(value) };
}

export function errorReply(error: RegistryError): Reply {
  return {
    status: error.status,
    headers: { 'Content-Type': 'application/json', ...error.headers },
    body: encodeError(error),
  };
}

/**
 * Writes the answer; resolves when the client has it or is gone. When bytes cannot be read half-way, the connection is
 * destroyed: a truncated blob must not look complete.
 * @throws what failed before the first byte of a blob was sent; the response is as it was, for another answer.
 */
export async function send(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply,
  { now, log, ...context }: AnswerContext & { readonly now: number; readonly log: Logger },
): Promise<void> {
  if (res.destroyed) return;
  const { status, headers, body, provenance, namespace } = reply;
  const blob = isBlobBody(body) ? body : undefined;
  const bare = status === 204 || status === 304;
  // Not one literal of spreads: V8 takes its slow path where a spread is followed by others, some 4 µs for each answer.
  const all: Record<string, string | number | string[]> = Object.assign(
    bare ? {} : { 'Content-Length': lengthOf(body) },
    describeProvenance(provenance, now),
    namespace === undefined ? undefined : { 'OCI-Namespace': namespace },
    headers,
    blob?.offload,
    commonHeaders(context, headers?.['Cache-Control']?.toString()),
  );
  if (blob !== undefined && blob.offload === undefined && !bare && req.method !== 'HEAD') {
    await sendContent(res, status, all, blob, log);
  } else {
    // A web server makes a range of nothing but a 200.
    res.writeHead(blob?.offload === undefined ? status : 200, all);
    if (isBlobBody(body) || bare || req.method === 'HEAD') res.end();
    else res.end(body);
  }
}

/** Whether the body is a blob, which is read while it is sent. */
export function isBlobBody(body: Reply['body']): body is BlobBody {
  return typeof body === 'object' && 'content' in body;
}

function lengthOf(body: Reply['body']): number {
  if (!isBlobBody(body)) return Buffer.byteLength(body ?? '');
  return body.offload === undefined ? body.length : 0;
}

/** The headers leave with the first byte, so that a file that cannot be opened is answered with an error. */
async function sendContent(
  res: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string | number | string[]>>,
  { content }: BlobBody,
  log: Logger,
): Promise<void> {
  res.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  try {
    await content.writeTo(res);
    res.end();
  } catch (cause) {
    if (!res.headersSent && !res.destroyed) {
      for (const name of Object.keys(headers)) res.removeHeader(name);
      throw cause;
    }
    if (!hasClientLeft(res)) log.error({ err: cause, path: content.path }, 'a blob could not be sent to its end');
    res.destroy();
  }
}

/** A failed write is reported before the response is destroyed. */
function hasClientLeft(res: ServerResponse): boolean {
  return res.destroyed || (res.socket?.errored ?? null) !== null;
}
