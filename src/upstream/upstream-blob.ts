import { Readable } from 'node:stream';
import type { UpstreamBlob } from '../ports/upstream.js';
import { digestOf, type Digest } from '../protocol/digest.js';
import { claimedDigestOf, contentLengthOf, contentRangeOf, differs } from '../protocol/upstream/answer-headers.js';
import { discard } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed } from '../protocol/upstream/verdict.js';

/**
 * Returns the size in bytes that the answer to a HEAD, or to a GET without a range, reports.
 * @throws UpstreamVerdict failed when the answer reports another digest.
 */
export function readBlobHead({ headers }: Answer, digest: Digest): { readonly size?: number } {
  const claimed = claimedDigestOf(headers);
  if (differs(digest, claimed)) throw failed(`the content does not match: it reports ${claimed}`);
  const size = contentLengthOf(headers);
  // Some proxies report 0 for a HEAD whose length they do not know. Only the empty blob has size 0.
  return size === undefined || (size === 0 && !isEmpty(digest)) ? {} : { size };
}

/**
 * Returns the whole blob from an answer with 200.
 * @throws UpstreamVerdict failed when the answer reports another digest. Destroys the body in this case.
 */
export function readBlob(answer: Answer, digest: Digest): UpstreamBlob {
  refuseOtherDigest(answer, digest);
  const size = contentLengthOf(answer.headers);
  return { ...(size === undefined ? {} : { size }), offset: 0, body: answer.body };
}

/**
 * Returns the blob from an answer to a GET from `offset` on: the whole blob, or a part that starts at the offset or before
 * and may end early. Returns `undefined`, and closes the connection, when the answer is of no use.
 * @throws UpstreamVerdict failed when the answer reports another digest. Destroys the body in this case.
 */
export function readBlobFrom(answer: Answer, digest: Digest, offset: number): UpstreamBlob | undefined {
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
