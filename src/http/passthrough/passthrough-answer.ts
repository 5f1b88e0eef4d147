import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Forward } from '../../ports/upstream.js';
import type { Logger } from '../../ports/runtime.js';
import { RegistryError } from '../../protocol/errors.js';
import { verdictOf } from '../../protocol/upstream/connection-errors.js';
import { toRefusal } from '../../protocol/upstream/refusal.js';
import { reasonOf } from '../../protocol/upstream/verdict.js';
import type { Stop } from '../../util/outgoing/stop.js';
import type { Answer } from '../../util/outgoing/transport.js';
import { commonHeaders, safeContentType, type AnswerContext } from '../answer-headers.js';
import { breakOff, endWith } from '../clients/http2.js';
import { shownUrl } from '../clients/shown-url.js';
import { errorReply, send, type Reply } from '../reply.js';
import { takeArrived } from '../../util/outgoing/answer-body.js';
import { relay } from './passthrough-body.js';
import { isUntypedManifest, readManifest, type ReadManifest } from './passthrough-manifest.js';
import { refuseAnswer } from './passthrough-refusal.js';
import { cleanAnswerHeaders } from './passthrough-headers.js';

/** The context of an answer to our client. */
export interface PassthroughContext extends AnswerContext {
  /** The path before `/v2` in the URLs of this registry. */
  readonly prefix: string;
  readonly log: Logger;
  /** Called when the first bytes of the answer are written. */
  onStarted(): void;
  /** The media types that content may be sent with; any other becomes application/octet-stream. */
  readonly contentTypes: readonly string[];
  /** Added to the answer, and to errors. */
  readonly extraHeaders?: Readonly<Record<string, string>>;
}

/** The outcome of an exchange. */
export interface PassthroughOutcome {
  /** The status that the client got; 499 when it left before that. */
  readonly status: number;
  readonly errorCode?: string;
}

/** One exchange of a client. */
export interface Passage {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly forward: Forward;
  readonly context: PassthroughContext;
  /** Stopped when the client has left. */
  readonly departure: Stop;
}

const clientLeft: PassthroughOutcome = { status: 499 };

/**
 * Answers the client as the upstream answered us. Returns a promise unless all of it is written.
 * @throws RegistryError for an answer that the client does not expect.
 */
export function respond(passage: Passage, answer: Answer): PassthroughOutcome | Promise<PassthroughOutcome> {
  const { req, res, forward, context } = passage;
  const { body, status, location, hop } = answer;
  if (location !== undefined) return redirect(passage, status, location);
  if (!isExpected(answer)) return refuseAnswer(answer, forward).then((error) => Promise.reject(error));
  if (isUntypedManifest(answer, forward, context.contentTypes)) return passManifestOn(passage, answer);
  writeHead(passage, answer);
  if (req.method === 'HEAD' || isBare(status)) {
    res.end();
    // The body of a GET that replaces a HEAD may be of any size.
    if (hop.method !== req.method) body.destroy();
    return { status };
  }
  // Most answers are manifests that arrive together with their head: they go out in one write with ours.
  const bytes = takeArrived(body);
  if (bytes === undefined) return passBodyOn(passage, answer);
  endWith(req, res, bytes);
  context.onStarted();
  return { status };
}

/**
 * Returns whether the client can expect the status: a client that did not request a range would take a part for the whole
 * blob.
 */
function isExpected({ status, hop: { headers } }: Answer): boolean {
  if (status === 206) return headers['range'] !== undefined;
  if (status === 304) return headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined;
  return status === 200;
}

function isBare(status: number): boolean {
  return status === 204 || status === 304;
}

async function redirect(passage: Passage, status: number, location: string): Promise<PassthroughOutcome> {
  await sendReply(passage, { status, headers: { Location: location } });
  return { status };
}

async function passManifestOn(passage: Passage, answer: Answer): Promise<PassthroughOutcome> {
  const { req, res, forward, context } = passage;
  const manifest = await readManifest(answer, forward, context.contentTypes);
  writeHead(passage, answer, manifest);
  endWith(req, res, manifest.bytes);
  context.onStarted();
  return { status: answer.status };
}

async function passBodyOn(passage: Passage, { body, status }: Answer): Promise<PassthroughOutcome> {
  const { forward, context } = passage;
  try {
    const relayed = relay(body, passage, forward.outgoing.responseTimeoutMs);
    context.onStarted();
    await relayed;
  } catch (error) {
    // The connection is destroyed by now: half a body must not look complete.
    logCut(passage, error);
  }
  return { status };
}

/** @param manifest the body, if it was read and unpacked. @throws Error when the client has left. */
function writeHead(passage: Passage, { status, body }: Answer, manifest?: ReadManifest): void {
  const { req, res, context, departure } = passage;
  departure.throwIfStopped();
  const headers: OutgoingHttpHeaders = cleanAnswerHeaders(body.headers);
  if (manifest !== undefined) delete headers['content-encoding'];
  // Some proxies report 0 for a HEAD whose length they do not know. A client would take the content to be empty.
  if (req.method === 'HEAD' && headers['content-length'] === '0') delete headers['content-length'];
  const extra = context.extraHeaders ?? {};
  for (const name of Object.keys(extra)) delete headers[name.toLowerCase()];
  if (manifest !== undefined) headers['content-length'] = manifest.bytes.length;
  const type = manifest?.mediaType ?? safeContentType(body.headers['content-type'], context.contentTypes);
  if (!isBare(status)) headers['Content-Type'] = type;
  res.writeHead(status, Object.assign(headers, extra, commonHeaders(context)));
}

function logCut({ req, forward, context }: Passage, error: unknown): void {
  const { message: reason } = verdictOf(error);
  const fields = { id: context.id, url: shownUrl(req.url ?? ''), upstream: forward.url.host, reason };
  context.log.warn(fields, 'upstream response interrupted: the connection to the client was closed');
}

/** Answers with an error. An error that is not ours means that the upstream failed. */
export async function refuse(passage: Passage, thrown: unknown): Promise<PassthroughOutcome> {
  const { res, req, forward, context } = passage;
  if (passage.departure.isStopped) return clientLeft;
  const error = thrown instanceof RegistryError ? thrown : refusalOf(thrown, forward.url.host);
  const { id, log } = context;
  if (error.status >= 500)
    log.warn({ err: error, id, method: req.method, url: shownUrl(req.url ?? '') }, error.message);
  // Bytes that were written cannot be taken back. Nothing is written before the answer is known to be good.
  if (res.headersSent) breakOff(res);
  else await sendReply(passage, errorReply(error));
  return { status: error.status, errorCode: error.code };
}

function refusalOf(thrown: unknown, upstream: string): RegistryError {
  return toRefusal({ type: 'failed', reason: reasonOf(verdictOf(thrown), upstream) });
}

/** Answers with a reply of our own. */
function sendReply({ req, res, context }: Passage, reply: Reply): Promise<void> | undefined {
  const headers = { ...context.extraHeaders, ...reply.headers };
  // `now` would only matter for the age of cached content.
  const sent = send(req, res, { ...reply, headers }, { ...context, now: 0 });
  context.onStarted();
  return sent;
}
