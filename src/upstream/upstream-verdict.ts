import { PrivateTargetError } from '../util/target-policy.js';

/** What goes into the reason, and whether the breaker counts it. */
export interface VerdictFields {
  /** The upstream's status, where it gave one. */
  readonly status?: number;
  /** What the upstream asked us to wait. */
  readonly retryAfterSeconds?: number;
  /** The upstream is in trouble (network, timeout, 5xx): enough of these in a row and it is not asked for a while. */
  readonly trouble?: boolean;
  /** The same request would fail the same way for a while. */
  readonly isLasting?: true;
}

/** Any result but `found`, thrown from where it is known to the one place that makes a result of it. */
export class UpstreamVerdict extends Error {
  override readonly name = 'UpstreamVerdict';
  readonly type: 'absent' | 'denied' | 'failed';
  readonly fields: VerdictFields;

  constructor(type: UpstreamVerdict['type'], reason: string, fields: VerdictFields = {}) {
    super(reason);
    this.type = type;
    this.fields = fields;
  }
}

/** @param reason for people: no secret, no challenge; it follows the upstream's name ("registry.example: <reason>"). */
export function failed(reason: string, fields?: VerdictFields): UpstreamVerdict {
  return new UpstreamVerdict('failed', reason, fields);
}

export function denied(reason: string, fields?: VerdictFields): UpstreamVerdict {
  return new UpstreamVerdict('denied', reason, fields);
}

export function absent(): UpstreamVerdict {
  return new UpstreamVerdict('absent', 'not there', { status: 404 });
}

/** What the network's and undici's codes mean. Messages are not used: they may hold URLs, and URLs may be signed. */
const descriptions: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ENOTFOUND: 'its host name is not known',
  EAI_AGAIN: 'its host name could not be looked up',
  EHOSTUNREACH: 'its host cannot be reached',
  ENETUNREACH: 'its network cannot be reached',
  ETIMEDOUT: 'no connection in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_BODY_TIMEOUT: 'the answer stopped coming',
  UND_ERR_SOCKET: 'the connection was closed before the answer was whole',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the answer has another length than it announced',
  UND_ERR_HEADERS_OVERFLOW: 'the head of the answer is too large',
  UND_ERR_DESTROYED: 'this upstream was closed',
  UND_ERR_CLOSED: 'this upstream was closed',
  UND_ERR_ABORTED: 'the request was broken off, or refused by the proxy',
};

/** The verdict on a request that got no answer, or on an answer that broke off. */
export function verdictOf(error: unknown): UpstreamVerdict {
  if (error instanceof UpstreamVerdict) return error;
  if (error instanceof PrivateTargetError) return failed(error.message);
  const code = codeOf(error);
  const known = descriptions[code];
  // Not the upstream's doing, so nothing for the breaker to count.
  const trouble = code !== 'UND_ERR_DESTROYED' && code !== 'UND_ERR_CLOSED';
  if (known !== undefined) return failed(known, { trouble });
  if (/CERT|SSL|TLS|ISSUER|SELF_SIGNED/.test(code))
    return failed(`its certificate or TLS fails (${code})`, { trouble });
  return failed(`the request failed (${code})`, { trouble });
}

/** The code of an error, or of what caused it; else the name of its class. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.cause === undefined ? error.name : codeOf(error.cause);
}
