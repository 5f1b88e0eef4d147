import type { UpstreamResult } from '../../ports/upstream.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';

/** Thrown when content could not be copied. The message may be shown to people. */
export class SyncProblemError extends Error {
  override readonly name = 'SyncProblemError';
}

/** Returns what the upstream has; `undefined` if it is absent. @throws SyncProblemError if the upstream could not tell. */
export function foundOrAbsent<T>(result: UpstreamResult<T>): T | undefined {
  if (result.type === 'found') return result.value;
  if (result.type === 'absent') return undefined;
  const { upstream, reason } = result.reason;
  throw new SyncProblemError(`${upstream} ${result.type === 'denied' ? 'denies access' : 'failed'}: ${reason}`);
}

/** Describes a failure to people, without paths. @param describeOther describes errors that are not meant for people. */
export function describeProblem(error: unknown, describeOther: (cause: unknown) => string): string {
  if (error instanceof SyncProblemError) return error.message;
  if (!(error instanceof RegistryError)) return describeOther(error);
  const missing = error.details.flatMap((detail) =>
    typeof detail === 'object' && detail !== null && 'digest' in detail ? [String(detail.digest)] : [],
  );
  return missing.length === 0 ? error.message : `${error.message}: ${missing.slice(0, 3).join(', ')}`;
}

/** Creates the problem that the upstream lacks content of an image. */
export function lacksContent(what: 'blob' | 'manifest', digest: Digest): SyncProblemError {
  return new SyncProblemError(`the upstream lacks the ${what} ${digest}`);
}
