import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Provenance } from '../ports/metadata/images.js';
import type { Runtime } from '../ports/runtime.js';
import { isResponseClosed } from './clients/http2.js';
import { shownUrl } from './clients/shown-url.js';
import type { CoreSource, Location } from './core.js';
import { defaultPace, keepDownloadPace } from './limits/pace.js';
import { isBlobBody, send, type ForwardReply, type Reply } from './reply.js';

/** The answer that a request got. */
export interface Outcome {
  readonly status: number;
  readonly errorCode?: string | undefined;
  readonly provenance?: Provenance | undefined;
  readonly pulled?: Reply['pulled'];
  /** The `Location` of a created resource. */
  readonly made?: string | undefined;
}

/**
 * Counts a large answer until the client has read it.
 * @throws RegistryError TOOMANYREQUESTS when too much is unread.
 */
export function countAnswer(
  res: ServerResponse,
  reply: Reply | ForwardReply,
  address: string,
  source: CoreSource,
): void {
  if ('forward' in reply || reply.body === undefined || isBlobBody(reply.body)) return;
  const leave = source.opened?.answers.enter(address, reply.body.length);
  if (leave !== undefined) res.once('close', leave);
}

/** What sending an answer needs to know about its request. */
export interface Delivery {
  readonly id: string;
  readonly runtime: Runtime;
  readonly source: CoreSource;
  readonly location: Location;
  /** Called when the client reads its answer too slowly. */
  readonly onSlow: () => void;
}

/**
 * Sends the reply, or forwards the request. Returns a promise unless the whole answer is written.
 * @throws when forwarding or reading a blob fails before the first byte is sent.
 */
export function deliver(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply | ForwardReply,
  delivery: Delivery,
): Outcome | Promise<Outcome> {
  // Starts after the first write: most responses are complete by then and need no timer.
  const onStarted = (): void =>
    keepDownloadPace(res, delivery.source.opened?.downloadPace ?? defaultPace, delivery.onSlow);
  if ('forward' in reply) return passOn(req, res, reply, delivery, onStarted);
  const delivered = answerBy(req, res, reply, delivery);
  onStarted();
  return delivered;
}

async function passOn(
  req: IncomingMessage,
  res: ServerResponse,
  { forward, mount, context }: ForwardReply,
  { id, runtime, source, location }: Delivery,
  onStarted: () => void,
): Promise<Outcome> {
  const { passthrough, access } = source.opened ?? (await source.ready());
  const { contentTypes, extraHeaders } = context;
  const { isPublic } = access;
  const prefix = location.prefix + mount;
  return passthrough.send(req, res, forward, {
    prefix,
    id,
    isPublic,
    log: runtime.log,
    contentTypes,
    extraHeaders,
    onStarted,
  });
}

function answerBy(
  req: IncomingMessage,
  res: ServerResponse,
  reply: Reply,
  { id, runtime, source }: Delivery,
): Outcome | Promise<Outcome> {
  const { status, headers, body, provenance, pulled } = reply;
  const outcome = { status, provenance, pulled, made: headers?.['Location']?.toString() };
  const fail = (cause: unknown): Outcome => {
    if (isBlobBody(body) && !res.headersSent && !isResponseClosed(res)) throw cause;
    runtime.log.error({ err: cause, ...describeRequest(req, id) }, 'sending a response failed');
    res.destroy();
    return outcome;
  };
  try {
    const isPublic = source.opened?.access.isPublic === true;
    const sending = send(req, res, reply, { id, isPublic, now: runtime.now(), log: runtime.log });
    return sending === undefined ? outcome : sending.then(() => outcome, fail);
  } catch (cause) {
    return fail(cause);
  }
}

/** Describes a request for the log. */
export function describeRequest({ method, url }: IncomingMessage, id: string): object {
  return { id, method, url: shownUrl(url ?? '') };
}
