import type { IncomingMessage } from 'node:http';
import { errorTable, RegistryError, type ErrorCode } from '../../protocol/errors.js';
import { parseJson, smallLimits } from '../../protocol/json.js';
import { readBounded } from '../../util/streams.js';
import { PrivateTargetError } from '../../util/target-policy.js';

/** Why an exchange with an upstream came to nothing, for people: no secret, no signed URL. It follows "the upstream:". */
export class PassthroughFailure extends Error {
  override readonly name = 'PassthroughFailure';
}

/** Where an answer came from. */
export interface AnswerOrigin {
  /** The host of the configured upstream. */
  readonly upstream: string;
  /** Whether a redirect led away from it. */
  readonly elsewhere: boolean;
  /** Whether a token of the upstream's realm went along, which is for this very image. */
  readonly withToken: boolean;
  /** What was asked for, as a path. */
  readonly path: string;
}

const maxBodyBytes = 64 * 1024;

/** What the system's codes mean. Messages are not used: they may hold URLs, and URLs may be signed. */
const descriptions: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ENOTFOUND: 'its host name is not known',
  EAI_AGAIN: 'its host name could not be looked up',
  EHOSTUNREACH: 'its host cannot be reached',
  ENETUNREACH: 'its network cannot be reached',
  ETIMEDOUT: 'no connection in time',
  HPE_HEADER_OVERFLOW: 'the head of the answer is too large',
};

/** The reason of an error of node's, or of ours. */
export function explain(error: unknown): string {
  if (error instanceof PassthroughFailure || error instanceof PrivateTargetError) return error.message;
  const code = codeOf(error);
  const known = descriptions[code];
  if (known !== undefined) return known;
  if (code.startsWith('HPE_')) return `its answer is no HTTP (${code})`;
  if (/CERT|SSL|TLS|ISSUER|SELF_SIGNED|EPROTO/.test(code)) return `its certificate or TLS fails (${code})`;
  return `the request failed (${code})`;
}

/** The code of an error; of several, as node gives them for a host with many addresses, the first's; else its class. */
export function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** UNAVAILABLE 503 that names the upstream and the reason. */
export function unavailable(
  upstream: string,
  reason: string,
  fields: { readonly status?: number; readonly retryAfter?: string | undefined; readonly cause?: unknown } = {},
): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'the upstream of this repository cannot answer',
    detail: { upstream, reason, ...(fields.status === undefined ? {} : { status: fields.status }) },
    headers: retryHeader(fields.retryAfter),
    cause: fields.cause,
  });
}

/**
 * What an answer of the upstream that is no success means to our client. Its own messages, names and challenges stay out.
 * Leaves the body as it is, but for a 4xx that may say which code of the specification it is.
 */
export async function judge(answer: IncomingMessage, origin: AnswerOrigin, timeoutMs: number): Promise<RegistryError> {
  const { statusCode: status = 0, headers } = answer;
  const { upstream, elsewhere } = origin;
  const where = elsewhere ? ' where it redirected to' : '';
  const retryAfter = headers['retry-after'];
  if (status === 429) {
    const detail = { upstream, reason: `it limits the rate of requests (429)${where}`, status };
    return new RegistryError('TOOMANYREQUESTS', { detail, headers: retryHeader(retryAfter) });
  }
  if (status === 407)
    return unavailable(upstream, 'the outgoing proxy refuses us: it wants other credentials (407)', { status });
  if (status === 401 || status === 403) return judgeRefusal(status, origin);
  if (status >= 500) return unavailable(upstream, `it answered ${status}${where}`, { status, retryAfter });
  if (status === 416) return judgeRange(headers['content-range'], upstream);
  const code = status >= 400 && !elsewhere ? await readCode(answer, status, timeoutMs) : undefined;
  if (code !== undefined) return new RegistryError(code, { detail: { upstream } });
  // Nothing there, said by something that is no registry: what is missing follows from what was asked for.
  if (status === 404) return new RegistryError(missingAt(origin.path), { detail: { upstream } });
  return unavailable(upstream, `it answered ${status}${where}, which is no answer to this request`, { status });
}

/**
 * Never the upstream's 401: its challenge would have our client send its password for us to a stranger's realm. Denied is who
 * came with a token for this image; any other refusal is one of our own credentials, or cannot be explained.
 */
function judgeRefusal(status: number, { upstream, elsewhere, withToken }: AnswerOrigin): RegistryError {
  // What a redirect leads to knows signatures, not accounts: nobody was denied anything.
  if (elsewhere) return unavailable(upstream, `it was refused with ${status} where it redirected to`, { status });
  const reason = `it refuses what this registry sends (${status})`;
  if (!withToken) return unavailable(upstream, reason, { status });
  return new RegistryError('DENIED', {
    message: 'the upstream of this repository denies access',
    detail: { upstream, reason, status },
  });
}

function judgeRange(contentRange: string | undefined, upstream: string): RegistryError {
  const isPlain = contentRange !== undefined && /^bytes \*\/[0-9]{1,15}$/.test(contentRange);
  return new RegistryError('RANGE_INVALID', {
    detail: { upstream },
    headers: isPlain ? { 'Content-Range': contentRange } : {},
  });
}

function missingAt(path: string): ErrorCode {
  if (/\/blobs\/[^/]+$/.test(path)) return 'BLOB_UNKNOWN';
  return path.endsWith('/tags/list') ? 'NAME_UNKNOWN' : 'MANIFEST_UNKNOWN';
}

/** The code in an error body of the specification's shape, if it is one that goes with this status. */
async function readCode(answer: IncomingMessage, status: number, timeoutMs: number): Promise<ErrorCode | undefined> {
  const timer = setTimeout(() => answer.destroy(), timeoutMs);
  try {
    const bytes = await readBounded(answer, maxBodyBytes);
    const document = parseJson(bytes ?? Buffer.alloc(0), smallLimits) as { errors?: { code?: unknown }[] } | null;
    const code = document?.errors?.[0]?.code;
    return typeof code === 'string' && isCode(code) && errorTable[code].status === status ? code : undefined;
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}

function retryHeader(value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { 'Retry-After': value };
}
