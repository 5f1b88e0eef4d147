import { once } from 'node:events';
import { request as requestHttp, type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { urlToHttpOptions } from 'node:url';
import { CommandError } from '../command-io.js';

/** A request to a registry. */
export interface SentRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** The origin of the registry. */
  readonly origin: URL;
  /** The path and the query, encoded. Sent as it is. */
  readonly target: string;
  /** A Unix socket to connect to, instead of the origin. */
  readonly socketPath?: string | undefined;
  readonly headers: Readonly<Record<string, string | number>>;
  /** A text, or an archive and the stream that shows its progress. */
  readonly body?: string | readonly [source: Readable, through: NodeJS.ReadWriteStream] | undefined;
  readonly agent?: Agent | undefined;
}

/** An error that a registry answered with. */
export interface ApiError {
  readonly code: string;
  readonly message: string;
  readonly detail?: unknown;
}

/** Thrown for an answer with a status of 300 or above. */
export class RefusalError extends CommandError {
  readonly status: number;
  readonly errors: readonly ApiError[];

  constructor(status: number, statusText: string, errors: readonly ApiError[]) {
    super(explain(`${status} ${statusText}`.trim(), errors));
    this.status = status;
    this.errors = errors;
  }
}

/**
 * Sends a request, and its body until the answer arrives: a registry that refuses does not read all of it.
 * @throws RefusalError if the status is 300 or above; CommandError if there is no answer.
 */
export async function sendRequest(request: SentRequest): Promise<IncomingMessage> {
  const { method, origin, target, socketPath, headers, body, agent } = request;
  const send = origin.protocol === 'https:' ? requestHttps : requestHttp;
  const place = socketPath === undefined ? urlToHttpOptions(origin) : { socketPath };
  const req = send({ ...place, path: target, method, headers, agent });
  const stop = new AbortController();
  // `once` does not know the type of the event.
  const answered = once(req, 'response', { signal: stop.signal }) as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  const sending = sendBody(req, body, stop.signal);
  try {
    // A failure to read the body ends the request. If it cannot be sent, an answer may say why.
    await Promise.race([answered, sending]);
    const [answer] = await answered;
    if (answer.statusCode === undefined || answer.statusCode >= 300) throw await explainRefusal(answer);
    // The registry has read the whole body. Stopping the pipeline before it notices would cut off the answer.
    await sending.catch(() => undefined);
    return answer;
  } catch (error) {
    req.destroy();
    stop.abort();
    await sending.catch(() => undefined);
    if (error instanceof CommandError) throw error;
    const isRefused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
    const advice = isRefused && socketPath === undefined ? ': is the registry running, and at this URL?' : '';
    throw new CommandError(`no answer from ${origin.origin}: ${messageOf(error)}${advice}`, { cause: error });
  }
}

async function sendBody(req: ClientRequest, body: SentRequest['body'], signal: AbortSignal): Promise<void> {
  if (body === undefined || typeof body === 'string') {
    req.end(body);
    return;
  }
  const [source, through] = body;
  source.once('error', (cause) =>
    req.destroy(new CommandError(`the archive cannot be read: ${cause.message}`, { cause })),
  );
  await pipeline(source, through, req, { signal });
}

async function explainRefusal(answer: IncomingMessage): Promise<RefusalError> {
  const body = await text(answer).catch(() => '');
  return new RefusalError(answer.statusCode ?? 0, answer.statusMessage ?? '', readErrors(body));
}

/** Returns the message and the code of each error, and the problems in its detail with their paths. */
function explain(status: string, errors: readonly ApiError[]): string {
  if (errors.length === 0) return `the registry answered with ${status}`;
  const lines = errors.flatMap(({ code, message, detail }, i) => {
    const line = i === 0 ? `the registry refused: ${message} (${code}, ${status})` : `  ${message} (${code})`;
    return [line, ...describeDetail(detail)];
  });
  return lines.join('\n');
}

function describeDetail(detail: unknown): readonly string[] {
  if (detail === undefined || detail === null) return [];
  const items: readonly unknown[] = Array.isArray(detail) ? detail : [detail];
  return items.map((item) => `  ${isProblem(item) ? describeProblem(item) : JSON.stringify(item)}`);
}

interface ShownProblem {
  readonly path: string;
  readonly problem: string;
}

function isProblem(item: unknown): item is ShownProblem {
  return typeof item === 'object' && item !== null && 'path' in item && 'problem' in item;
}

function describeProblem({ path, problem }: ShownProblem): string {
  return path === '' ? problem : `${path}: ${problem}`;
}

function readErrors(body: string): readonly ApiError[] {
  try {
    const { errors } = JSON.parse(body) as { readonly errors?: unknown };
    // An answer of another form does not come from a registry.
    return Array.isArray(errors) ? errors.filter(isApiError) : [];
  } catch {
    return [];
  }
}

function isApiError(error: unknown): error is ApiError {
  return typeof error === 'object' && error !== null && 'code' in error && 'message' in error;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A host with several addresses fails with one error per address.
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error.message;
}
