import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Forward } from '../../ports/upstream.js';
import type { Logger } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import { commonHeaders, safeContentType, type AnswerContext } from '../answer-headers.js';
import { relay } from './passthrough-body.js';
import { explain, unavailable } from './passthrough-errors.js';
import { cleanAnswerHeaders } from './passthrough-headers.js';
import { errorReply, send, type Reply } from '../reply.js';
import { shownUrl } from '../clients/shown-url.js';

export interface PassthroughContext extends AnswerContext {
  /** What precedes `/v2` in the URLs of this registry. */
  readonly prefix: string;
  readonly log: Logger;
  /** Whom the request came through, as its `Via` says. */
  readonly trail: readonly string[];
  /** The media types that the content may leave under; any other becomes application/octet-stream. */
  readonly contentTypes: readonly string[];
  /** For the answer, errors too. */
  readonly extraHeaders?: Readonly<Record<string, string>>;
}

export interface PassthroughOutcome {
  /** What the client was answered; 499 when it left before that. */
  readonly status: number;
  readonly errorCode?: string;
}

/** One exchange of a client. */
export interface Passage {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly forward: Forward;
  readonly context: PassthroughContext;
  /** Aborted when the client has left. */
  readonly left: AbortSignal;
}

/** One request on its way: the first, or where redirects led. */
export interface Hop {
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  /** Credentials and `Via`; elsewhere `Via` alone. */
  readonly added: Readonly<Record<string, string>>;
  /** Whether a redirect has led away from the origin that was asked first. There is no way back. */
  readonly elsewhere: boolean;
}

export interface Arrival {
  readonly hop: Hop;
  readonly answer: IncomingMessage;
  /** A redirect that is the client's to follow. */
  readonly location?: string;
}

const clientLeft: PassthroughOutcome = { status: 499 };

/** Passes a good answer on to the client, body and all. */
export async function passOn(passage: Passage, { answer, hop }: Arrival): Promise<PassthroughOutcome> {
  const { req, res, forward, context } = passage;
  const { statusCode: status = 0 } = answer;
  const headers = cleanAnswerHeaders(answer.headers, hop.url, { forward, prefix: context.prefix });
  const extra = context.extraHeaders ?? {};
  for (const name of Object.keys(extra)) delete headers[name.toLowerCase()];
  passage.left.throwIfAborted();
  const bare = status === 204 || status === 304;
  const type = safeContentType(answer.headers['content-type'], context.contentTypes);
  res.writeHead(status, {
    ...headers,
    ...(bare ? {} : { 'Content-Type': type }),
    ...extra,
    ...commonHeaders(context),
  });
  if (req.method === 'HEAD' || bare) {
    res.end();
    // A body that came for a HEAD may be of any size.
    if (hop.method !== req.method) answer.destroy();
    return { status };
  }
  try {
    await relay(answer, res, forward.responseTimeoutMs);
  } catch (error) {
    // Destroyed by now: half a body must not look whole.
    logCut(passage, error);
  }
  return { status };
}

function logCut({ req, forward, context }: Passage, error: unknown): void {
  const fields = { id: context.id, url: shownUrl(req.url ?? ''), upstream: forward.url.host, reason: explain(error) };
  context.log.warn(fields, 'an upstream broke off its answer: the connection to the client was closed');
}

/** Answers with what was thrown; anything that is no error of ours says that the upstream failed. */
export async function refuse(passage: Passage, thrown: unknown): Promise<PassthroughOutcome> {
  const { res, req, forward, context } = passage;
  if (passage.left.aborted) return clientLeft;
  const error =
    thrown instanceof RegistryError ? thrown : unavailable(forward.url.host, explain(thrown), { cause: thrown });
  const { id, log } = context;
  if (error.status >= 500)
    log.warn({ err: error, id, method: req.method, url: shownUrl(req.url ?? '') }, error.message);
  // Nothing can be taken back that was written; nothing is written before the answer is known to be good.
  if (res.headersSent) res.destroy();
  else await sendReply(passage, errorReply(error));
  return { status: error.status, errorCode: error.code };
}

/** Answers with something of ours. */
export function sendReply({ req, res, context }: Passage, reply: Reply): Promise<void> {
  const headers = { ...context.extraHeaders, ...reply.headers };
  // `now` is for the age of what comes from a cache, which this does not.
  return send(req, res, { ...reply, headers }, { ...context, now: 0 });
}
