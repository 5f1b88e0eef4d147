import { RegistryError } from '../errors.js';
import type { UpstreamReason } from './verdict.js';

/** For a 429 that does not say how long to wait. */
const limitedSeconds = 10;

/**
 * Returns the error for a client when an upstream did not answer with content and no stale copy exists: *denied* becomes 403
 * DENIED, *failed* 503 UNAVAILABLE, or 429 TOOMANYREQUESTS after a 429. All name the upstream and the reason, and pass on its
 * `Retry-After`; a 429 always has one. A failure never becomes a 404, and an upstream's own challenge never reaches a client.
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
  const isLimited = reason.status === 429;
  const seconds = reason.retryAfterSeconds ?? (isLimited ? limitedSeconds : undefined);
  return new RegistryError(isLimited ? 'TOOMANYREQUESTS' : 'UNAVAILABLE', {
    message: describeFailure(reason),
    detail: reason,
    headers: seconds === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) },
  });
}

/** Describes the failure of an upstream in one line. */
export function describeFailure({ upstream, reason }: UpstreamReason): string {
  return `upstream ${upstream} failed: ${reason}`;
}

/** Describes in one line that an upstream does not have something. */
export function describeAbsence({ upstream, reason }: UpstreamReason): string {
  return `upstream ${upstream} reports it as absent: ${reason}`;
}

/**
 * Returns the error for a tag that an upstream reports as absent.
 * @param digest what the tag named, if that manifest is still cached
 */
export function toMissing(tag: string, reason: UpstreamReason, digest: string | undefined): RegistryError {
  const cached = digest === undefined ? '' : `; the manifest that the tag named is still cached: pull ${digest}`;
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `manifest unknown: ${describeAbsence(reason)}${cached}`,
    detail: { reference: tag, ...reason, digest },
  });
}

/**
 * Returns whether an error keeps other members of a virtual repository from answering: it means "could not tell", in contrast to
 * "absent" and "denied", or a policy blocks content that exists (412).
 */
export function isFailure(error: unknown): boolean {
  if (isMissing(error)) return false;
  if (!(error instanceof RegistryError) || error.code !== 'DENIED') return true;
  // Upstreams put their answer there; other refusals have no detail, or one without a status.
  return (error.detail as Partial<UpstreamReason> | undefined)?.status === 412;
}

/** Returns whether an error is that of `toMissing`: another member of a virtual repository may have the tag. */
export function isMissing(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN';
}
