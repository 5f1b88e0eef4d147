import { Readable } from 'node:stream';
import type { UpstreamBlob } from '../ports/upstream.js';
import { digestOf, type Digest } from '../protocol/digest.js';
import { claimedDigestOf, contentLengthOf, contentRangeOf, differs } from '../protocol/upstream/answer-headers.js';
import { discard } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed, type UpstreamVerdict } from '../protocol/upstream/verdict.js';

/**
 * The size that the answer to a HEAD, or to a GET without a range, tells.
 * @throws UpstreamVerdict failed when it claims another digest.
 */
export function readBlobHead({ headers }: Answer, digest: Digest): { readonly size?: number } {
  const claimed = claimedDigestOf(headers);
  if (differs(digest, claimed)) throw failed(`the content does not match: ${claimed} is claimed`);
  const size = contentLengthOf(headers);
  // Some proxies say 0 for a HEAD whose length they do not know: only the empty blob is empty.
  return size === undefined || (size === 0 && !isEmpty(digest)) ? {} : { size };
}

/**
 * Where the body of an answer begins and how large the blob is: 200, 206 or 416 to a GET from `offset` on.
 * @throws UpstreamVerdict failed when headers contradict each other or the request; the body is given up.
 */
export function readBlob(answer: Answer, digest: Digest, offset: number): UpstreamBlob {
  const claimed = claimedDigestOf(answer.headers);
  if (differs(digest, claimed)) throw refuse(answer, `the content does not match: ${claimed} is claimed`);
  if (answer.status === 206) return readPart(answer, offset);
  if (answer.status === 416) return readNothing(answer, offset);
  const size = contentLengthOf(answer.headers);
  return { ...(size === undefined ? {} : { size }), offset: 0, body: answer.body };
}

function readPart(answer: Answer, offset: number): UpstreamBlob {
  const { span, size } = contentRangeOf(answer.headers) ?? {};
  const length = contentLengthOf(answer.headers);
  if (span === undefined) throw refuse(answer, 'it answered a range without saying which');
  if (span.start !== offset) throw refuse(answer, `it answered a range from ${offset} with one from ${span.start}`);
  if (span.end < span.start || (size !== undefined && span.end !== size - 1))
    throw refuse(answer, `it answered a range from ${offset} with a part of it`);
  if (length !== undefined && length !== span.end - span.start + 1)
    throw refuse(answer, 'its Content-Length and Content-Range differ');
  return { ...(size === undefined ? {} : { size }), offset, body: answer.body };
}

/** 416: no byte is left after the offset. When that is because the blob ends there, this is its end. */
function readNothing(answer: Answer, offset: number): UpstreamBlob {
  const size = contentRangeOf(answer.headers)?.size;
  if (size !== offset) throw refuse(answer, `it has no bytes from ${offset} on`);
  discard(answer.body);
  return { size, offset, body: Readable.from([], { objectMode: false }) };
}

/** Closes the connection: what comes over it is not to be trusted. */
function refuse({ body, status }: Answer, reason: string): UpstreamVerdict {
  body.destroy();
  return failed(reason, { status });
}

function isEmpty(digest: Digest): boolean {
  const nothing = Buffer.alloc(0);
  return digest === digestOf(nothing) || digest === digestOf(nothing, 'sha512');
}
