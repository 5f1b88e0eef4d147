/**
 * This folder decides what the answer of another registry means: verdicts, redirects, connection errors, headers, and the
 * refusal that our client gets. Everything that talks to a registry uses it: the cache, the pass-through and token realms.
 */

/** Explains why another registry gave no answer. For people and logs: holds no challenge and no secret. */
export interface UpstreamReason {
  /** The host of the configured URL. */
  readonly upstream: string;
  readonly reason: string;
  /** The upstream's status, if it answered. */
  readonly status?: number;
  /** How long the upstream asked us to wait. */
  readonly retryAfterSeconds?: number;
  /** The answer arrived but cannot be used: asking again soon would cost as much and fail the same way. */
  readonly isLasting?: true;
}

/** The fields of a reason, and whether the breaker counts the failure. */
export interface VerdictFields extends Omit<UpstreamReason, 'upstream' | 'reason'> {
  /** The upstream is in trouble (network, timeout, 5xx). Several of these in a row open the breaker. */
  readonly trouble?: boolean;
}

/** Carries every result except `found` from where it is decided to the place that returns or answers it. */
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

/**
 * Creates the verdict that the upstream could not tell.
 * @param reason for people, without secrets, challenges and signed URLs; it follows the upstream's name.
 */
export function failed(reason: string, fields?: VerdictFields): UpstreamVerdict {
  return new UpstreamVerdict('failed', reason, fields);
}

/** Creates the verdict that the upstream denies access. */
export function denied(reason: string, fields?: VerdictFields): UpstreamVerdict {
  return new UpstreamVerdict('denied', reason, fields);
}

/** Creates the verdict that the upstream does not have the content. */
export function absent(reason = 'not found', status = 404): UpstreamVerdict {
  return new UpstreamVerdict('absent', reason, { status });
}

/** Returns the reason of a verdict about this upstream. */
export function reasonOf({ message, fields }: UpstreamVerdict, upstream: string): UpstreamReason {
  const { trouble: _counted, ...rest } = fields;
  return { upstream, reason: message, ...rest };
}
