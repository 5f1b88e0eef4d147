import type { UpstreamReason, UpstreamResult } from '../../ports/upstream.js';
import { RegistryError } from '../../protocol/errors.js';

/**
 * What a client is told when an upstream did not answer with content and nothing stale can be given: `denied` is 403 DENIED,
 * `failed` is 503 UNAVAILABLE, or 429 TOOMANYREQUESTS with its Retry-After. Both name the upstream and the reason; neither
 * is ever a false 404, and an upstream's own challenge is never passed on.
 */
export function toRefusal(
  result: Exclude<UpstreamResult<unknown>, { type: 'found' } | { type: 'absent' }>,
): RegistryError {
  const { reason } = result;
  if (result.type === 'denied') {
    return new RegistryError('DENIED', {
      message: `${reason.upstream} does not allow it: ${reason.reason}`,
      detail: reason,
    });
  }
  const retryAfter: Record<string, string> =
    reason.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(Math.ceil(reason.retryAfterSeconds)) };
  const code = reason.status === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE';
  return new RegistryError(code, { message: describeFailure(reason), detail: reason, headers: retryAfter });
}

export function describeFailure({ upstream, reason }: UpstreamReason): string {
  return `${upstream} could not be asked: ${reason}`;
}

/** Whether an error says that somebody could not tell, as against "absent" and "denied". */
export function isFailure(error: unknown): boolean {
  return !(error instanceof RegistryError) || error.code !== 'DENIED';
}
