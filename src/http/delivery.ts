import type { IncomingMessage } from 'node:http';
import type { Provenance } from '../ports/metadata/images.js';
import type { ReportRefusal, Runtime } from '../ports/runtime.js';
import { breakOff, isResponseClosed } from './clients/http2.js';
import { shownUrl } from './clients/shown-url.js';
import type { Arrival, CoreSource, RequestFacts } from './core.js';
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
export function countAnswer({ opened }: CoreSource, { res, facts }: Arrival, reply: Reply | ForwardReply): void {
  if ('forward' in reply || reply.body === undefined || isBlobBody(reply.body)) return;
  const leave = opened?.answers.enter(facts.clientAddress, reply.body.length);
  if (leave !== undefined) res.once('close', leave);
}

/** The dependencies of `deliver`. */
export interface DeliveryParts {
  readonly source: CoreSource;
  readonly runtime: Runtime;
  readonly reportRefusal: ReportRefusal;
}

/**
 * Sends the reply, or forwards the request. Returns a promise unless the whole answer is written.
 * @throws when forwarding or reading a blob fails before the first byte is sent.
 */
export function deliver(
  parts: DeliveryParts,
  arrival: Arrival,
  reply: Reply | ForwardReply,
): Outcome | Promise<Outcome> {
  // Starts after the first write: most responses are complete by then and need no timer.
  const onStarted = (): void => {
    const pace = parts.source.opened?.downloadPace ?? defaultPace;
    keepDownloadPace(arrival.res, pace, () => reportSlow(parts, arrival));
  };
  if ('forward' in reply) return passOn(parts, arrival, reply, onStarted);
  const delivered = answerBy(parts, arrival, reply);
  onStarted();
  return delivered;
}

async function passOn(
  { runtime, source }: DeliveryParts,
  { req, res, location, facts }: Arrival,
  { forward, mount, context }: ForwardReply,
  onStarted: () => void,
): Promise<Outcome> {
  const { passthrough, access } = source.opened ?? (await source.ready());
  const { contentTypes, extraHeaders } = context;
  const { isPublic } = access;
  const prefix = location.prefix + mount;
  return passthrough.send(req, res, forward, {
    prefix,
    id: facts.id,
    isPublic,
    log: runtime.log,
    contentTypes,
    extraHeaders,
    onStarted,
  });
}

function answerBy(
  { runtime, source }: DeliveryParts,
  { req, res, facts: { id } }: Arrival,
  reply: Reply,
): Outcome | Promise<Outcome> {
  const { status, headers, body, provenance, pulled } = reply;
  const outcome = { status, provenance, pulled, made: headers?.['Location']?.toString() };
  const fail = (cause: unknown): Outcome => {
    if (isBlobBody(body) && !res.headersSent && !isResponseClosed(res)) throw cause;
    runtime.log.error({ err: cause, ...describeRequest(req, id) }, 'sending a response failed');
    breakOff(res);
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

function reportSlow({ runtime, reportRefusal }: DeliveryParts, { req, facts }: Arrival): void {
  runtime.log.info(
    { ...shownFacts(facts), ...describeRequest(req, facts.id) },
    'connection closed: client read the response too slowly',
  );
  reportRefusal('slow_download', facts.clientAddress);
}

/** Returns the facts that are logged. */
export function shownFacts({
  id,
  op,
  principal,
  clientAddress,
}: RequestFacts): Omit<RequestFacts, 'via' | 'change' | 'leave'> {
  return { id, op, principal, clientAddress };
}

/** Describes a request for the log. */
export function describeRequest({ method, url }: IncomingMessage, id: string): object {
  return { id, method, url: shownUrl(url ?? '') };
}
