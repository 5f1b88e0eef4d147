import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { destroyOnTinyChunks } from '../../util/streams/source-listener.js';
import { readWhole } from '../../util/outgoing/answer-body.js';
import { asHttp2, breakOff, endWith, inSmallPieces, isResponseClosed } from '../clients/http2.js';

/** A request of a client and its response. */
interface Served {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/** The maximum size of an answer that is read completely before it is passed on. */
const maxSmallBytes = 64 * 1024;

/**
 * Passes the body on. Both sides end together: a client that leaves closes the connection to the upstream, and an upstream that
 * breaks off or stalls closes the connection to the client, which would mistake half a body for the whole.
 * Rejects when the upstream broke off.
 */
export async function relay(answer: IncomingMessage, served: Served, timeoutMs: number): Promise<void> {
  // Read whole, a small answer goes out in one write with its head and needs no pipe.
  if (Number(answer.headers['content-length']) <= maxSmallBytes) return relaySmall(answer, served, timeoutMs);
  const { req, res } = served;
  // The errors do not show which side ended first, because the end of each destroys the other.
  const client = res.socket;
  let isBroken = false;
  const note = (): void => {
    isBroken ||= !answer.complete && client?.destroyed === false;
  };
  answer.once('error', note).once('close', note);
  destroyOnTinyChunks(answer);
  try {
    if (asHttp2(req) === undefined) await pipeline(answer, res);
    else {
      await pipeline(answer, inSmallPieces(res));
      res.end();
    }
  } catch (error) {
    breakOff(res);
    if (isBroken) throw answer.errored ?? error;
  }
}

async function relaySmall(answer: IncomingMessage, { req, res }: Served, timeoutMs: number): Promise<void> {
  const onLeft = (): void => void answer.destroy();
  res.once('close', onLeft);
  try {
    endWith(req, res, await readWhole(answer, { maxBytes: maxSmallBytes, timeoutMs }));
  } catch (error) {
    const isOurs = !isResponseClosed(res);
    breakOff(res);
    if (isOurs) throw error;
  } finally {
    res.off('close', onLeft);
  }
}
