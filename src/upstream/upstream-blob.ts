import { Readable } from 'node:stream';
import type { UpstreamBlob } from '../ports/upstream.js';
import { algorithmOf, digestOf, type Digest } from '../protocol/digest.js';
import {
  claimedDigestOf,
  contentLengthOf,
  contentRangeOf,
  differs,
  firstOf,
  type AnswerHeaders,
} from '../protocol/upstream/answer-headers.js';
import { discard, unpackGzip } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed } from '../protocol/upstream/verdict.js';
import { generatedStream } from '../util/streams/generated-stream.js';
import { verdictOf } from '../protocol/upstream/connection-errors.js';

/** The most that is held in memory to find out whether a blob was packed on the way. */
const maxUnpackedBytes = 4 * 1024 * 1024;

/**
 * Returns the size in bytes that the answer to a HEAD, or to a GET without a range, reports.
 * @throws UpstreamVerdict failed when the answer reports another digest.
 */
export function readBlobHead({ headers }: Answer, digest: Digest): { readonly size?: number } {
  const claimed = claimedDigestOf(headers);
  if (differs(digest, claimed)) throw failed(`the content does not match: it reports ${claimed}`);
  const size = isPacked(headers) ? undefined : contentLengthOf(headers);
  // Some proxies report 0 for a HEAD whose length they do not know. Only the empty blob has size 0.
  return size === undefined || (size === 0 && !isEmpty(digest)) ? {} : { size };
}

/**
 * Returns the whole blob from an answer with 200. Unpacks a blob of at most 4 MiB, such as a config, that was sent as gzip
 * without being stored so.
 * @throws UpstreamVerdict failed when the answer reports another digest. Destroys the body in this case.
 */
export async function readBlob(answer: Answer, digest: Digest): Promise<UpstreamBlob> {
  refuseOtherDigest(answer, digest);
  const { headers, body } = answer;
  const size = contentLengthOf(headers);
  const isSmall = size === undefined || size <= maxUnpackedBytes;
  const content = isSmall && isPacked(headers) ? await unpackSmall(body, digest) : body;
  if (Buffer.isBuffer(content))
    return { size: content.length, offset: 0, body: Readable.from([content], { objectMode: false }) };
  return { ...(size === undefined ? {} : { size }), offset: 0, body: content };
}

function isPacked(headers: AnswerHeaders): boolean {
  return /^(?:x-)?gzip$/i.test(firstOf(headers, 'content-encoding') ?? '');
}

/** Returns the bytes that have the digest, or all bytes as received when there are too many to decide. */
async function unpackSmall(body: Readable, digest: Digest): Promise<Buffer | Readable> {
  const source = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  const chunks: Buffer[] = [];
  try {
    for (let length = 0; length <= maxUnpackedBytes; length += chunks.at(-1)?.length ?? 0) {
      const next = await source.next();
      if (next.done === true) {
        const received = Buffer.concat(chunks);
        return hasDigest(received, digest) ? received : await unpackGzip(received, maxUnpackedBytes);
      }
      chunks.push(next.value);
    }
  } catch (error) {
    throw verdictOf(error);
  }
  // A generator that never ran, or waits for bytes, would leave the connection open.
  return generatedStream(continueWith(chunks, source), () => body.destroy());
}

async function* continueWith(chunks: readonly Buffer[], source: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
  yield* { [Symbol.asyncIterator]: () => source };
}

function hasDigest(bytes: Buffer, digest: Digest): boolean {
  return digestOf(bytes, algorithmOf(digest)) === digest;
}

/**
 * Returns the blob from an answer to a GET from `offset` on: the whole blob, or a part that starts at the offset or before
 * and may end early. Returns `undefined`, and closes the connection, when the answer is of no use.
 * @throws UpstreamVerdict failed when the answer reports another digest. Destroys the body in this case.
 */
export async function readBlobFrom(answer: Answer, digest: Digest, offset: number): Promise<UpstreamBlob | undefined> {
  if (answer.status === 200) return readBlob(answer, digest);
  refuseOtherDigest(answer, digest);
  const blob = answer.status === 206 ? readPart(answer, offset) : readEnd(answer, offset);
  if (blob === undefined) answer.body.destroy();
  return blob;
}

function readPart({ headers, body }: Answer, offset: number): UpstreamBlob | undefined {
  const { span, size } = contentRangeOf(headers) ?? {};
  const length = contentLengthOf(headers);
  if (span === undefined || span.start > offset || span.end < span.start) return undefined;
  if (length !== undefined && length !== span.end - span.start + 1) return undefined;
  return { ...(size === undefined ? {} : { size }), offset: span.start, body };
}

/** Reads a 416. If the blob ends at the offset, the rest of it is empty. */
function readEnd({ status, headers, body }: Answer, offset: number): UpstreamBlob | undefined {
  const size = contentRangeOf(headers)?.size;
  if (status !== 416 || size !== offset) return undefined;
  discard(body);
  return { size, offset, body: Readable.from([], { objectMode: false }) };
}

/** Closes the connection of an answer with another digest, because its content cannot be trusted. */
function refuseOtherDigest({ headers, status, body }: Answer, digest: Digest): void {
  const claimed = claimedDigestOf(headers);
  if (!differs(digest, claimed)) return;
  body.destroy();
  throw failed(`the content does not match: it reports ${claimed}`, { status });
}

function isEmpty(digest: Digest): boolean {
  const empty = Buffer.alloc(0);
  return digest === digestOf(empty) || digest === digestOf(empty, 'sha512');
}
