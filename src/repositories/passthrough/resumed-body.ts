import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { UpstreamBlob, UpstreamResult } from '../../ports/upstream.js';
import { toRefusal } from '../../protocol/upstream/refusal.js';
import { generatedStream } from '../../util/streams/generated-stream.js';

/** The maximum number of attempts in a row without any bytes. */
const maxFruitless = 3;
/** The maximum number of attempts in total, for an upstream that makes little progress each time. */
const maxAttempts = 100;
const backoffMs = 100;

/** The content to read, and the way to request the rest of it. */
export interface ResumedBodyOptions {
  /** The offset of the first byte to read. */
  readonly start: number;
  /** The size of the blob; Infinity when it is not known: then nothing is resumed. */
  readonly size: number;
  /** Asks the upstream for the blob from an offset on. */
  readonly ask: (offset: number) => Promise<UpstreamResult<UpstreamBlob>>;
}

/**
 * Returns a blob from an offset on. If the upstream cuts the transfer off, or sends less than the rest, requests the rest. The
 * stream fails when the upstream sends nothing more.
 */
export function resumedBody(first: UpstreamBlob, options: ResumedBodyOptions): Readable {
  const transfer: Transfer = { body: first.body, isOver: false };
  // A client that leaves must not wait for the next bytes of the upstream, nor cause another request.
  return generatedStream(readOn(first, options, transfer), () => {
    transfer.isOver = true;
    transfer.body.destroy();
  });
}

interface Transfer {
  /** The current body. */
  body: Readable;
  /** Whether the reader has left. */
  isOver: boolean;
}

async function* readOn(
  first: UpstreamBlob,
  { start, size, ask }: ResumedBodyOptions,
  transfer: Transfer,
): AsyncGenerator<Buffer> {
  let position = start;
  let fruitless = 0;
  for (let { offset, body } = first, attempt = 1; ; attempt++) {
    transfer.body = body;
    const before = position;
    let cause: unknown;
    try {
      let skip = position - offset;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        const bytes = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - bytes.length;
        position += bytes.length;
        if (bytes.length > 0) yield bytes;
      }
    } catch (error) {
      cause = error;
    }
    if (transfer.isOver) return;
    if (cause === undefined ? size === Infinity || position >= size : position === size) return;
    fruitless = position > before ? 0 : fruitless + 1;
    if (size === Infinity || fruitless > maxFruitless || attempt >= maxAttempts) throw cause ?? cutOff();
    if (cause !== undefined) await sleep(backoffMs * 2 ** fruitless);
    if (transfer.isOver) return;
    const answer = await ask(position);
    if (answer.type === 'found' && transfer.isOver) answer.value.body.destroy();
    if (transfer.isOver) return;
    if (answer.type !== 'found') throw answer.type === 'absent' ? cutOff() : toRefusal(answer);
    ({ offset, body } = answer.value);
  }
}

function cutOff(): Error {
  return new Error('the upstream sends no more of the blob');
}
