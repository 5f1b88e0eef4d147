/**
 * HTTP requests to domain calls and back. `handler.ts` is the middleware, `dispatch.ts` the flow of one request,
 * `routes.ts` the handlers by operation, `reply.ts` the answer. Imported by `registry.ts`, the composition root and the
 * command's server; imports ports/, protocol/ and util/.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestEvent, Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import type { Endpoint } from '../protocol/tables/route-table.js';
import { noteChange, noteRefusal, userAgentOf } from './audit-notes.js';
import { countBody, discardEarly, holdConnection } from './bodies/body.js';
import type { Arrival, RequestFacts, Surface } from './core.js';
import { countAnswer, deliver, describeRequest, shownFacts, type DeliveryParts, type Outcome } from './delivery.js';
import { dispatch } from './dispatch.js';
import type { Pipelines } from './limits/pipelines.js';
import { errorReply, type Reply } from './reply.js';
import { adaptHttp2, asHttp2, isReset } from './clients/http2.js';
import { shownUrl } from './clients/shown-url.js';

/** Middleware for Connect, Express or a plain Node server. The type is structural, so no framework is required. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

/** The dependencies of `createHandler`. */
export interface HandlerParts extends DeliveryParts {
  readonly pipelines: Pipelines;
}

/**
 * Creates the middleware of a surface. It calls `next` synchronously for requests that are not for the registry. Errors are
 * answered: it never throws or rejects.
 */
export function createHandler<Row extends Endpoint>(surface: Surface<Row>, parts: HandlerParts): Middleware {
  const { source, pipelines } = parts;
  return (req, res, next) => {
    const location = surface.locate(req);
    if (location === undefined) {
      next();
      return;
    }
    adaptHttp2(req);
    const facts = beginFacts(req, res, parts.runtime);
    const arrival = { req, res, location, facts };
    source.track(
      pipelines.runInTurn(req, res, () => answer(surface, parts, arrival)),
      facts,
    );
  };
}

async function answer<Row extends Endpoint>(
  surface: Surface<Row>,
  parts: HandlerParts,
  arrival: Arrival,
): Promise<void> {
  const { source, reportRefusal } = parts;
  const { req, facts } = arrival;
  const measure = startMeasure(arrival);
  const discarding = discardEarly(req);
  const discardRest = holdConnection(req);
  let outcome: Outcome;
  try {
    const reply = await dispatch(surface, source, arrival);
    countAnswer(source, arrival, reply);
    const delivered = deliver(parts, arrival, reply);
    // Most answers are written at once: awaiting them too would take a turn of the queue of microtasks.
    outcome = delivered instanceof Promise ? await delivered : delivered;
    if (outcome.pulled !== undefined) source.opened?.onPulled(outcome.pulled);
    noteChange(source.opened?.audit, req, facts);
  } catch (thrown) {
    outcome = await refuse(parts, arrival, thrown);
  }
  measure.bytesSent = countSent(arrival, measure);
  if (discarding !== undefined) await discarding;
  if (!req.complete && !(await discardRest())) reportRefusal('unread_body', facts.clientAddress);
  facts.leave?.();
  report(surface, parts.runtime, arrival, outcome, measure);
}

/** Answers with the error for the client, and reports it. */
async function refuse(parts: HandlerParts, arrival: Arrival, thrown: unknown): Promise<Outcome> {
  const { source, runtime, reportRefusal } = parts;
  const { req, facts } = arrival;
  const { id, op, clientAddress } = facts;
  const error = asRegistryError(parts, arrival, thrown);
  if (error.refusedLogin !== undefined) {
    const refused = { id, op, clientAddress, ...error.refusedLogin };
    runtime.log.info(refused, 'login refused');
    runtime.emit('login.refused', refused);
  }
  noteRefusal(source.opened?.audit, req, facts, error);
  if (error.refusal !== undefined) reportRefusal(error.refusal, clientAddress);
  const outcome = await deliver(parts, arrival, withoutChallenge(req, errorReply(error)));
  return { ...outcome, errorCode: error.code };
}

/** Logs a change of the management API, and emits the event of an answered request. */
function report(
  { audited }: Pick<Surface<never>, 'audited'>,
  runtime: Runtime,
  arrival: Arrival,
  outcome: Outcome,
  measure: Measure,
): void {
  const { req, facts } = arrival;
  const { method = '', url = '' } = req;
  const { status, errorCode } = outcome;
  const isRead = method === 'GET' || method === 'HEAD';
  if (audited === true && !isRead && errorCode === undefined) {
    const made = { method, url: shownUrl(url), status, made: outcome.made };
    runtime.log.info({ ...shownFacts(facts), ...made }, 'changed through the management API');
  }
  if (runtime.isHeard('request')) runtime.emit('request', describeAnswered(arrival, outcome, measure));
}

function beginFacts(req: IncomingMessage, res: ServerResponse, runtime: Runtime): RequestFacts {
  return {
    id: requestIdOf(res) ?? runtime.newId(),
    op: 'unmatched',
    principal: '',
    // Read it now, because a closed connection has no address.
    clientAddress: req.socket.remoteAddress ?? '',
    via: undefined,
    change: undefined,
    leave: undefined,
  };
}

/** The start of a request. */
interface Measure {
  readonly at: number;
  readonly remoteAddress: string;
  readonly readReceived: () => number;
  /** The bytes that its connection had written before. A connection serves one request at a time. */
  readonly writtenBefore: number;
  /** Measured before the rest of the body is discarded: the next request follows that in the same packet. */
  bytesSent: number;
}

function startMeasure({ req, facts: { clientAddress } }: Arrival): Measure {
  return {
    at: performance.now(),
    // `facts` gets that of the client behind trusted proxies.
    remoteAddress: clientAddress,
    readReceived: countBody(req),
    // Frameworks simulate requests in tests, with sockets that do not count.
    writtenBefore: req.socket.bytesWritten ?? 0,
    bytesSent: 0,
  };
}

/** Over HTTP/2, where responses share a connection, returns the announced length of the body. */
function countSent({ req, res }: Arrival, { writtenBefore }: Measure): number {
  if (asHttp2(req) === undefined) return (req.socket.bytesWritten ?? 0) - writtenBefore;
  return req.method === 'HEAD' ? 0 : Number(res.getHeader('Content-Length') ?? 0);
}

function describeAnswered(
  arrival: Arrival,
  { status, errorCode, provenance }: Outcome,
  measure: Measure,
): RequestEvent {
  const { req, facts } = arrival;
  const { at, remoteAddress, readReceived } = measure;
  // No spreads and no Object.assign: several of them take a slow path of V8, about 3 µs per request.
  const event: { -readonly [Name in keyof RequestEvent]: RequestEvent[Name] } = {
    id: facts.id,
    op: facts.op,
    principal: facts.principal,
    clientAddress: facts.clientAddress,
    method: req.method ?? '',
    url: shownUrl(req.url ?? ''),
    status,
    durationMs: Math.round((performance.now() - at) * 1000) / 1000,
    bytesReceived: readReceived(),
    bytesSent: measure.bytesSent,
    remoteAddress,
  };
  const userAgent = userAgentOf(req);
  if (userAgent !== undefined) event.userAgent = userAgent;
  if (errorCode !== undefined) event.errorCode = errorCode;
  if (provenance !== undefined) {
    event.cache = provenance.cache;
    event.servedBy = provenance.repository;
  }
  return event;
}

/** Our page shows its own login dialog. A challenge would make the browser open another one. */
function withoutChallenge({ headers }: IncomingMessage, reply: Reply): Reply {
  if (headers['x-artifactapi-client'] !== 'ui') return reply;
  const { 'WWW-Authenticate': _challenge, ...rest } = reply.headers ?? {};
  return { ...reply, headers: rest };
}

/** Returns the request id that the host assigned, if any, so that both logs use the same id. */
function requestIdOf(res: ServerResponse): string | undefined {
  const id = res.getHeader('X-Request-Id');
  return typeof id === 'string' ? id : undefined;
}

/** Returns the error for the client: a RegistryError unchanged, anything else as UNKNOWN. The cause is logged only. */
function asRegistryError(
  { runtime, source }: HandlerParts,
  { req, facts: { id } }: Arrival,
  thrown: unknown,
): RegistryError {
  if (thrown instanceof RegistryError) {
    const { code, status, message, detail, cause } = thrown;
    if (status >= 500) {
      // A registry that failed to open has already logged the reason.
      const level = source.opened === undefined ? 'debug' : 'warn';
      runtime.log[level]({ ...describeRequest(req, id), code, status, detail, err: cause }, message);
    }
    return thrown;
  }
  // The client disconnected. This is not an error of the registry, and no one reads the response.
  if (req.errored !== null || (req.destroyed && !req.complete) || isReset(req)) {
    runtime.log.debug({ err: thrown, ...describeRequest(req, id) }, 'client disconnected during its request');
    return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the request body ended early' });
  }
  runtime.log.error({ err: thrown, ...describeRequest(req, id) }, 'request failed');
  return new RegistryError('UNKNOWN', { detail: { requestId: id } });
}
