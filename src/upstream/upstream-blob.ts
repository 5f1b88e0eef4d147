import { Readable } from 'node:stream';
import type { UpstreamBlob } from '../ports/upstream.js';
import { digestOf, type Digest } from '../protocol/digest.js';
import { claimedDigestOf, contentLengthOf, contentRangeOf, differs } from '../protocol/upstream/answer-headers.js';
import { discard } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed, type UpstreamVerdict } from '../protocol/upstream/verdict.js';

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
 * Returns the blob's size and the offset of the body from an answer with 200, 206 or 416 to a GET from `offset` on.
 * @throws UpstreamVerdict failed when headers contradict each other or the request. Destroys the body in this case.
 */
export function readBlob(answer: Answer, digest: Digest, offset: number): UpstreamBlob {
  const claimed = claimedDigestOf(answer.headers);
  if (differs(digest, claimed)) throw refuse(answer, `the content does not match: it reports ${claimed}`);
  if (answer.status === 206) return readPart(answer, offset);
  if (answer.status === 416) return readEnd(answer, offset);
  const size = contentLengthOf(answer.headers);
  return { ...(size === undefined ? {} : { size }), offset: 0, body: answer.body };
}

function readPart(answer: Answer, offset: number): UpstreamBlob {
  const { span, size } = contentRangeOf(answer.headers) ?? {};
  const length = contentLengthOf(answer.headers);
  if (span === undefined) throw refuse(answer, 'it sent a range without a valid Content-Range');
  if (span.start !== offset)
    throw refuse(answer, `it answered a range from byte ${offset} with one from byte ${span.start}`);
  if (span.end < span.start || (size !== undefined && span.end !== size - 1))
    throw refuse(answer, `it sent only a part of the range from byte ${offset}`);
  if (length !== undefined && length !== span.end - span.start + 1)
    throw refuse(answer, 'its Content-Length and Content-Range differ');
  return { ...(size === undefined ? {} : { size }), offset, body: answer.body };
}

/** Reads a 416. If the blob ends at the offset, the rest of it is empty. */
function readEnd(answer: Answer, offset: number): UpstreamBlob {
  const size = contentRangeOf(answer.headers)?.size;
  if (size !== offset) throw refuse(answer, `it answered 416 to a range from byte ${offset}`);
  discard(answer.body);
  return { size, offset, body: Readable.from([], { objectMode: false }) };
}

/** Closes the connection, because its content cannot be trusted. */
function refuse({ body, status }: Answer, reason: string): UpstreamVerdict {
  body.destroy();
  return failed(reason, { status });
}

function isEmpty(digest: Digest): boolean {
  const empty = Buffer.alloc(0);
  return digest === digestOf(empty) || digest === digestOf(empty, 'sha512');
}
