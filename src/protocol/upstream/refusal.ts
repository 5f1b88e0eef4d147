import { RegistryError } from '../errors.js';
import type { UpstreamReason } from './verdict.js';

/**
 * Returns the error for a client when an upstream did not answer with content and no stale copy exists: *denied* becomes 403
 * DENIED, *failed* 503 UNAVAILABLE, or 429 TOOMANYREQUESTS after a 429. All name the upstream and the reason, and pass on its
 * `Retry-After`. A failure never becomes a 404, and an upstream's own challenge never reaches a client.
 */
export function toRefusal({
  type,
  reason,
}: {
  readonly type: 'denied' | 'failed';
  readonly reason: UpstreamReason;
}): RegistryError {
  if (type === 'denied') {
    const message = `upstream ${reason.upstream} denied access: ${reason.reason}`;
    return new RegistryError('DENIED', { message, detail: reason });
  }
  const retryAfter: Record<string, string> =
    reason.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(Math.ceil(reason.retryAfterSeconds)) };
  const code = reason.status === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE';
  return new RegistryError(code, { message: describeFailure(reason), detail: reason, headers: retryAfter });
}

/** Describes the failure of an upstream in one line. */
export function describeFailure({ upstream, reason }: UpstreamReason): string {
  return `upstream ${upstream} failed: ${reason}`;
}

/**
 * Tells whether an error keeps other members of a virtual repository from answering: it means "could not tell", in contrast to
 * "absent" and "denied", or a policy blocks content that exists (412).
 */
export function isFailure(error: unknown): boolean {
  if (!(error instanceof RegistryError) || error.code !== 'DENIED') return true;
  return (error.detail as Partial<UpstreamReason> | undefined)?.status === 412;
}
