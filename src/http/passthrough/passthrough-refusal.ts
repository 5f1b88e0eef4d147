import { errorTable, RegistryError, type ErrorCode } from '../../protocol/errors.js';
import type { Forward } from '../../ports/upstream.js';
import { firstOf } from '../../protocol/upstream/answer-headers.js';
import { judgeAnswer } from '../../protocol/upstream/judge-answer.js';
import { toRefusal } from '../../protocol/upstream/refusal.js';
import { reasonOf } from '../../protocol/upstream/verdict.js';
import { readErrorBody, type ErrorBody } from '../../util/outgoing/error-body.js';
import type { Answer } from '../../util/outgoing/transport.js';

/**
 * Returns the error for our client when an upstream's answer is not one that the client may expect. Omits the upstream's
 * messages, names and challenges: a client that answered the challenge would send its password for us to a stranger. A 4xx
 * keeps its code of the specification.
 */
export async function refuseAnswer(
  { status, headers, body, hop }: Answer,
  { url, outgoing, confirmAbsence }: Pick<Forward, 'url' | 'outgoing' | 'confirmAbsence'>,
): Promise<RegistryError> {
  const upstream = url.host;
  if (status === 416) return refuseRange(firstOf(headers, 'content-range'), upstream);
  const verdict = judgeAnswer({ status, headers, elsewhere: hop.elsewhere }, Date.now());
  const isOurs = status >= 400 && status < 500;
  const error = isOurs ? await readErrorBody(body, outgoing.responseTimeoutMs) : undefined;
  if (status === 404 && error === undefined) await confirmAbsence();
  const code = hop.elsewhere ? undefined : codeOf(error, status);
  if (code !== undefined) return new RegistryError(code, { detail: { upstream } });
  const reason = reasonOf(verdict, upstream);
  if (verdict.type === 'absent')
    return new RegistryError(missingAt(url.pathname), { detail: status === 404 ? { upstream } : reason });
  return toRefusal({ type: verdict.type, reason });
}

function refuseRange(contentRange: string | undefined, upstream: string): RegistryError {
  const isPlain = contentRange !== undefined && /^bytes \*\/[0-9]{1,15}$/.test(contentRange);
  return new RegistryError('RANGE_INVALID', {
    detail: { upstream },
    headers: isPlain ? { 'Content-Range': contentRange } : {},
  });
}

/** Returns the code for missing content, by the requested path. */
function missingAt(path: string): ErrorCode {
  if (/\/blobs\/[^/]+$/.test(path)) return 'BLOB_UNKNOWN';
  return path.endsWith('/tags/list') ? 'NAME_UNKNOWN' : 'MANIFEST_UNKNOWN';
}

/** Returns the code if it belongs to this status. Refusals and limits have a verdict of their own. */
function codeOf(error: ErrorBody | undefined, status: number): ErrorCode | undefined {
  const code = error?.code;
  if (code === undefined || [401, 403, 407, 429].includes(status)) return undefined;
  return isCode(code) && errorTable[code].status === status ? code : undefined;
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}
