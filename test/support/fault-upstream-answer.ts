import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * What goes wrong with a request. Fields combine: `{ cutAfterBytes: 100, times: 1 }` cuts the first answer, and the next is whole.
 * In the order in which they strike: before the answer, instead of it, in its head, in its body.
 */
export interface Fault {
  /** How many requests it hits; then it is over. Default: all. */
  readonly times?: number;
  /** Only these methods. */
  readonly method?: 'GET' | 'HEAD';
  /** Where: the registry itself (default), the host it redirects to, or its token endpoint. */
  readonly at?: RequestRecord['at'];

  /** Never answers. */
  readonly hang?: boolean;
  /** Closes the connection without an answer. */
  readonly reset?: boolean;
  /** Waits before the answer. */
  readonly delayMs?: number;

  /** Answers this, with a JSON error and `headers`, whoever asks. */
  readonly status?: number;
  /** Added to the answer, whatever it is; `undefined` takes one away (`docker-content-digest`, `content-type`). */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Redirects, once it knows who asks: to the other host, to another path of the same host, or to a URL. */
  readonly redirect?: 'elsewhere' | 'here' | { readonly to: string };

  /** Ignores `Range`: 200 and everything. */
  readonly noRange?: boolean;
  /** Answers a range with one that begins this much later. */
  readonly rangeOff?: number;
  /** Chunked, without a Content-Length. */
  readonly noLength?: boolean;
  /** Announces this much more (or less) than it sends. */
  readonly lengthOff?: number;

  /** The first byte is another: nothing matches its digest. */
  readonly wrongBytes?: boolean;
  /** A body in place of the right one, with its own length and the right one's digest. */
  readonly body?: Buffer | string;
  /** Closes the connection after this much of the body. */
  readonly cutAfterBytes?: number;
  /** Sends this much of the body, then the rest when the promise resolves. */
  readonly hold?: { readonly afterBytes: number; readonly until: Promise<unknown> };
  /** Sends pieces of this size with a pause before each. */
  readonly slow?: { readonly chunkBytes: number; readonly delayMs: number };
}

/** One request that came in. */
export interface RequestRecord {
  readonly at: 'registry' | 'elsewhere' | 'token';
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  status: number;
  /** Of the body. */
  bytes: number;
  /** Whether the connection closed before the answer was whole. */
  broken: boolean;
}

/** What the registry would answer if nothing went wrong. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Sends an answer, with what the fault makes of it. */
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

/** Resolves when the chunk has gone to the system, or nowhere. */
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

export function problem(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { ...json({ errors: [{ code, message: code }] }, headers), status };
}

export function json(document: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(document)),
  };
}
