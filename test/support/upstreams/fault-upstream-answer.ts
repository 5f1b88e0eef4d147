import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * What goes wrong with a request. Fields combine: `{ cutAfterBytes: 100, times: 1 }` cuts the first answer, and the
 * next is complete. The fields are in the order in which they take effect: before the answer, instead of it, in its
 * head, in its body.
 */
export interface Fault {
  /** Number of requests that it affects. @default all */
  readonly times?: number;
  /** Affects only this method. @default all */
  readonly method?: 'GET' | 'HEAD';
  /** The affected server: the registry, the host that it redirects to, or its token endpoint. @default registry */
  readonly at?: RequestRecord['at'];

  /** Never answers. */
  readonly hang?: boolean;
  /** Closes the connection without an answer. */
  readonly reset?: boolean;
  /** Waits before the answer. */
  readonly delayMs?: number;

  /** Answers this status with a JSON error and `headers`, without authentication. */
  readonly status?: number;
  /** Adds headers to any answer; `undefined` removes one (`docker-content-digest`, `content-type`). */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Redirects after authentication: to the other host, to another path of the same host, or to a URL. */
  readonly redirect?: 'elsewhere' | 'here' | { readonly to: string };

  /** Ignores `Range`, and answers 200 with the whole blob. */
  readonly noRange?: boolean;
  /** Answers with a range that starts this many bytes later, or earlier when it is negative. */
  readonly rangeOff?: number;
  /** Answers a range with at most this many bytes. */
  readonly partBytes?: number;
  /** Refuses ranges with this status, without a Content-Range. */
  readonly rangeStatus?: number;
  /** Sends the body chunked, without a Content-Length. */
  readonly noLength?: boolean;
  /** Announces this many bytes more (or fewer) than it sends. */
  readonly lengthOff?: number;

  /** Changes the first byte, so that the digest does not match. */
  readonly wrongBytes?: boolean;
  /** Sends another body with its own length and the digest of the right one. */
  readonly body?: Buffer | string;
  /** Closes the connection after this many bytes of the body. */
  readonly cutAfterBytes?: number;
  /** Sends this many bytes of the body, and the rest when the promise resolves. */
  readonly hold?: { readonly afterBytes: number; readonly until: Promise<unknown> };
  /** Sends pieces of this size with a pause before each. */
  readonly slow?: { readonly chunkBytes: number; readonly delayMs: number };
}

/** A received request. */
export interface RequestRecord {
  readonly at: 'registry' | 'elsewhere' | 'token';
  readonly method: string;
  /** Includes the query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** The body of a POST. */
  form?: URLSearchParams;
  status: number;
  /** Bytes of the body that were sent. */
  bytes: number;
  /** Whether the connection closed before the answer was complete. */
  broken: boolean;
}

/** The answer of the registry before a fault is applied. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Sends an answer with the fault applied. */
export async function sendAnswer(
  res: ServerResponse,
  record: RequestRecord,
  fault: Fault,
  answer: Answer,
): Promise<void> {
  const body = spoil(answer, fault);
  const head: Record<string, string | undefined> = {
    ...answer.headers,
    ...(fault.noLength === true ? {} : { 'content-length': String(body.length + (fault.lengthOff ?? 0)) }),
    ...fault.headers,
  };
  for (const [name, value] of Object.entries(head)) if (value !== undefined) res.setHeader(name, value);
  res.statusCode = answer.status;
  if (record.method === 'HEAD') return void res.end();
  res.flushHeaders();
  const end = Math.min(body.length, fault.cutAfterBytes ?? Infinity);
  for (let at = 0; at < end && !res.destroyed;) {
    if (fault.hold?.afterBytes === at) await fault.hold.until;
    if (fault.slow !== undefined) await delay(fault.slow.delayMs);
    const stops = [end, at + (fault.slow?.chunkBytes ?? 65_536), ...(fault.hold ? [fault.hold.afterBytes] : [])];
    const next = Math.min(...stops.filter((stop) => stop > at));
    await write(res, body.subarray(at, next));
    record.bytes += next - at;
    at = next;
  }
  if (fault.hold !== undefined && fault.hold.afterBytes >= end) await fault.hold.until;
  if (fault.cutAfterBytes !== undefined || (fault.lengthOff ?? 0) > 0) res.socket?.destroy();
  else res.end();
}

/** Resolves when the chunk was sent or the connection closed. */
function write(res: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve) => {
    res.once('close', resolve);
    res.write(chunk, () => {
      res.off('close', resolve);
      resolve();
    });
  });
}

function spoil({ body }: Answer, { wrongBytes, body: other }: Fault): Buffer {
  if (other !== undefined) return Buffer.from(other as string);
  if (wrongBytes !== true || body.length === 0) return body;
  const spoiled = Buffer.from(body);
  spoiled.writeUInt8(spoiled.readUInt8(0) ^ 0xff, 0);
  return spoiled;
}

/** Returns an error answer. */
export function problem(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { ...json({ errors: [{ code, message: code }] }, headers), status };
}

/** Returns a JSON answer. */
export function json(document: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(document)),
  };
}
