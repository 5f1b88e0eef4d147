import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BlobContent, Forward, Logger, Provenance } from '../ports.js';
import { encodeError, type RegistryError } from '../protocol/errors.js';
import { drain } from '../util/streams.js';
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

/** The body of a refused upload that is still read, so that the client sees the answer instead of a reset. */
const drainLimits = { maxBytes: 64 * 1024 * 1024, maxMs: 5000 };

/**
 * Writes the answer; resolves when the client has it or is gone. When bytes cannot be read half-way, the connection is
 * destroyed: a truncated blob must not look complete.
 */
export async function send(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply,
  { id, now, log }: { readonly id: string; readonly now: number; readonly log: Logger },
): Promise<void> {
  if (res.destroyed) return;
  const { status, headers, body, provenance, namespace } = reply;
  const offload = typeof body === 'object' && 'content' in body ? body.offload : undefined;
  const bare = status === 204 || status === 304;
  // A web server makes a range of nothing but a 200.
  res.writeHead(offload === undefined ? status : 200, {
    'Docker-Distribution-API-Version': 'registry/2.0',
    'X-Request-Id': id,
    ...(bare ? {} : { 'Content-Length': lengthOf(body) }),
    // A compressing middleware of the host would break lengths, ranges and digests.
    'Cache-Control': 'no-transform',
    ...describeProvenance(provenance, now),
    ...(namespace === undefined ? {} : { 'OCI-Namespace': namespace }),
    ...(headers as Record<string, string | string[]>),
    ...offload,
  });
  if (body === undefined || bare || offload !== undefined || req.method === 'HEAD') res.end();
  else if (typeof body === 'object' && 'content' in body) await sendContent(res, body, log);
  else res.end(body);
  if (!req.complete) await discardRest(req, res);
}

function lengthOf(body: Reply['body']): number {
  if (typeof body !== 'object' || !('content' in body)) return Buffer.byteLength(body ?? '');
  return body.offload === undefined ? body.length : 0;
}

async function sendContent(res: ServerResponse, { content }: BlobBody, log: Logger): Promise<void> {
  try {
    await content.writeTo(res);
    res.end();
  } catch (cause) {
    if (!res.destroyed) log.error({ err: cause, path: content.path }, 'a blob could not be sent to its end');
    res.destroy();
  }
}

async function discardRest(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const drained = await drain(req, drainLimits);
  if (!drained && !req.destroyed) res.socket?.destroySoon();
}
