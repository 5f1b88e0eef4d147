import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Provenance } from '../ports/images.js';
import type { Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import type { Endpoint } from '../protocol/tables/route-table.js';
import { discardEarly, discardRest } from './bodies/body.js';
import { defaultPace, keepDownloadPace } from './limits/pace.js';
import type { CoreSource, Leave, Location, Seen, Surface } from './core.js';
import { dispatch } from './dispatch.js';
import type { Pipelines } from './limits/pipelines.js';
import { errorReply, isBlobBody, send, type ForwardReply, type Reply } from './reply.js';
import { shownUrl } from './clients/shown-url.js';

/** What Connect, Express and a bare server call; the types are structural so that none of them is needed. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * The middleware of a surface. Matches, waits for the registry, authenticates, resolves, permits, handles, answers; what is
 * not ours goes to `next`, before the call returns. Nothing it does rejects or throws to the host.
 */
export function createHandler<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  runtime: Runtime,
  pipelines: Pipelines,
): Middleware {
  return (req, res, next) => {
    const location = surface.locate(req);
    if (location === undefined) {
      next();
      return;
    }
    source.track(pipelines.runInTurn(req, res, () => answer(surface, source, runtime, req, res, location)));
  };
}

async function answer<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  runtime: Runtime,
  req: IncomingMessage,
  res: ServerResponse,
  location: Location,
): Promise<void> {
  const startedAt = performance.now();
  const id = requestIdOf(res) ?? runtime.newId();
  // Read now: a connection that is closed has none.
  const remoteAddress = req.socket.remoteAddress ?? '';
  const seen: Seen = { op: 'unmatched', principal: '', clientAddress: remoteAddress };
  const onSlow = (): void => {
    runtime.log.info({ ...seen, ...describeRequest(req, id) }, 'client read its answer too slowly: connection closed');
    runtime.emit('client.refused', { reason: 'slow_download', address: seen.clientAddress });
  };
  const delivery: Delivery = { id, runtime, source, location, onSlow };
  const discarding = discardEarly(req);
  let leave: Leave = () => undefined;
  let outcome: Outcome;
  try {
    const reply = await dispatch(surface, source, req, location, seen, (callback) => (leave = callback));
    outcome = await deliver(req, res, reply, delivery);
  } catch (thrown) {
    const error = asRegistryError(thrown, req, runtime, id, source.opened !== undefined);
    if (error.refusedLogin !== undefined) {
      const { op, clientAddress } = seen;
      const refused = { id, op, clientAddress, ...error.refusedLogin };
      runtime.log.info(refused, 'login refused');
      runtime.emit('login.refused', refused);
    }
    if (error.refusal !== undefined) {
      runtime.emit('client.refused', { reason: error.refusal, address: seen.clientAddress });
    }
    outcome = await deliver(req, res, errorReply(error), delivery);
    outcome = { ...outcome, errorCode: error.code };
  }
  if (discarding !== undefined) await discarding;
  const isRead = await discardRest(req);
  if (!isRead) runtime.emit('client.refused', { reason: 'unread_body', address: seen.clientAddress });
  leave();
  const method = req.method ?? '';
  const { status, errorCode, provenance } = outcome;
  const url = shownUrl(req.url ?? '');
  if (surface.audited === true && method !== 'GET' && errorCode === undefined) {
    runtime.log.info({ id, ...seen, method, url, status, made: outcome.made }, 'changed');
  }
  if (runtime.events.listenerCount('request') === 0) return;
  const event = { id, ...seen, method, url, status, durationMs: performance.now() - startedAt, remoteAddress };
  if (errorCode !== undefined) Object.assign(event, { errorCode });
  if (provenance !== undefined) Object.assign(event, { cache: provenance.cache, servedBy: provenance.repository });
  runtime.emit('request', event);
}

interface Outcome {
  readonly status: number;
  readonly errorCode?: string | undefined;
  readonly provenance?: Provenance | undefined;
  /** Where what was made is found. */
  readonly made?: string | undefined;
}

interface Delivery {
  readonly id: string;
  readonly runtime: Runtime;
  readonly source: CoreSource;
  readonly location: Location;
  /** Called when the client reads its answer too slowly. */
  readonly onSlow: () => void;
}

/** Writes the reply, or hands the exchange on. @throws what a hand-over was refused with, or a blob failed with, before any byte. */
function deliver(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply | ForwardReply,
  delivery: Delivery,
): Promise<Outcome> {
  const delivered = 'forward' in reply ? passOn(req, res, reply, delivery) : answerBy(req, res, reply, delivery);
  // After the first write: most answers are sent whole by then and need no timer.
  keepDownloadPace(res, delivery.source.opened?.downloadPace ?? defaultPace, delivery.onSlow);
  return delivered;
}

async function passOn(
  req: IncomingMessage,
  res: ServerResponse,
  { forward, mount, context }: ForwardReply,
  { id, runtime, source, location }: Delivery,
): Promise<Outcome> {
  const { passthrough, access } = await source.ready();
  const prefix = location.prefix + mount;
  return passthrough.send(req, res, forward, { prefix, id, isPublic: access.isPublic, log: runtime.log, ...context });
}

async function answerBy(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply,
  { id, runtime, source }: Delivery,
): Promise<Outcome> {
  const isPublic = source.opened?.access.isPublic === true;
  try {
    await send(req, res, reply, { id, isPublic, now: runtime.now(), log: runtime.log });
  } catch (cause) {
    if (isBlobBody(reply.body) && !res.headersSent && !res.destroyed) throw cause;
    runtime.log.error({ err: cause, ...describeRequest(req, id) }, 'an answer could not be sent');
    res.destroy();
  }
  return { status: reply.status, provenance: reply.provenance, made: reply.headers?.['Location']?.toString() };
}

/** The host's own id of the request, where it has given one: so that its log and ours name the same. */
function requestIdOf(res: ServerResponse): string | undefined {
  const id = res.getHeader('X-Request-Id');
  return typeof id === 'string' ? id : undefined;
}

/** What may be told to the client: an error of ours as it is, anything else as UNKNOWN, with its cause in the log alone. */
function asRegistryError(
  thrown: unknown,
  req: IncomingMessage,
  runtime: Runtime,
  id: string,
  isOpen: boolean,
): RegistryError {
  if (thrown instanceof RegistryError) {
    const { code, status, message, detail, cause } = thrown;
    if (status >= 500) {
      // Why the registry is not open was logged when it failed: not again for each request.
      const level = isOpen ? 'warn' : 'debug';
      runtime.log[level]({ ...describeRequest(req, id), code, status, detail, err: cause }, message);
    }
    return thrown;
  }
  // A client that went away is no fault of ours: nobody reads this answer. The whole body may have come, but not been read.
  if (req.errored !== null || (req.destroyed && !req.complete)) {
    runtime.log.debug({ err: thrown, ...describeRequest(req, id) }, 'the client left before its request ended');
    return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the request body ended early' });
  }
  runtime.log.error({ err: thrown, ...describeRequest(req, id) }, 'a request failed');
  return new RegistryError('UNKNOWN', { detail: { requestId: id } });
}

function describeRequest({ method, url }: IncomingMessage, id: string): object {
  return { id, method, url: shownUrl(url ?? '') };
}
