import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { drain, readBounded } from '../../util/streams.js';
import { PassthroughFailure } from './passthrough-errors.js';

/** What is left of a body that nobody wants is read up to here, to keep the connection. */
const discardBounds = { maxBytes: 64 * 1024, maxMs: 1000 };
/** Up to here an answer is taken in whole before it is passed on. */
const maxSmallBytes = 64 * 1024;
/** So often within the timeout it is looked whether anything came. */
const looks = 4;

/**
 * Passes the body on. It ends, breaks or is abandoned on both sides at once: a client that leaves closes the connection to the
 * upstream, and an upstream that breaks off, or brings nothing for `stallMs`, closes the connection to the client, which
 * would take half a body for the whole. A client that does not read makes nobody late.
 * Rejects when it was the upstream that broke off.
 */
export async function relay(answer: IncomingMessage, res: ServerResponse, stallMs: number): Promise<void> {
  // Most answers are manifests: taken in whole they go out in one write, with their head, and need no pipe.
  if (Number(answer.headers['content-length']) <= maxSmallBytes) return relaySmall(answer, res, stallMs);
  const { socket } = answer;
  let seen = socket.bytesRead;
  let quiet = 0;
  const watch = setInterval(() => {
    const isMoving = socket.bytesRead !== seen || res.writableNeedDrain;
    seen = socket.bytesRead;
    quiet = isMoving ? 0 : quiet + 1;
    if (quiet >= looks) answer.destroy(new PassthroughFailure('the answer stopped coming'));
  }, stallMs / looks);
  // The errors do not tell who was first: each side's end destroys the other.
  const client = res.socket;
  let broken = false;
  const note = (): void => {
    broken ||= !answer.complete && client?.destroyed === false;
  };
  answer.once('error', note).once('close', note);
  try {
    await pipeline(answer, res);
  } catch (error) {
    if (broken) throw error;
  } finally {
    clearInterval(watch);
  }
}

async function relaySmall(answer: IncomingMessage, res: ServerResponse, stallMs: number): Promise<void> {
  const timer = setTimeout(() => answer.destroy(new PassthroughFailure('the answer stopped coming')), stallMs);
  const onLeft = (): void => void answer.destroy();
  res.once('close', onLeft);
  try {
    res.end(await readBounded(answer, maxSmallBytes));
  } catch (error) {
    const isOurs = !res.destroyed;
    res.destroy();
    if (isOurs) throw error;
  } finally {
    clearTimeout(timer);
    res.off('close', onLeft);
  }
}

/** Gives up a body: a short rest is read so that the connection can be used again, else it is closed. Never waits. */
export function discard(answer: IncomingMessage): void {
  void drain(answer, discardBounds).then((ended) => {
    if (!ended) answer.destroy();
  });
}
