import { RegistryError } from '../../../protocol/errors.js';

/** An answer of the object store with an error. */
export class S3Error extends Error {
  override readonly name = 'S3Error';
  readonly status: number;
  /** The code of the service, such as `NoSuchKey`. */
  readonly code: string;

  constructor(what: string, status: number, code: string, detail: string) {
    super(`${what}: the object store answered ${status} ${code}${detail === '' ? '' : `: ${detail}`}`);
    this.status = status;
    this.code = code;
  }
}

const lasting: ReadonlySet<string> = new Set(['NotImplemented', 'MethodNotAllowed']);

/** Returns whether a request that failed with this error may succeed when it is repeated. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof S3Error)) return true;
  if (error.code === 'RequestTimeout' || error.code === 'SlowDown' || error.status === 429) return true;
  return (error.status >= 500 || error.status === 200) && !lasting.has(error.code);
}

/** Returns whether the object, or the upload, does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof S3Error && error.status === 404 && error.code !== 'NoSuchBucket';
}

/** Returns whether a list of parts names another set than the service has received. */
export function isPartMissing(error: unknown): boolean {
  return error instanceof S3Error && error.code === 'InvalidPart';
}

/** Returns whether the object has other bytes than expected. */
export function isReplaced(error: unknown): boolean {
  return error instanceof S3Error && error.status === 412;
}

/** Translates a failure of the object store for clients: 503, to be retried. Returns errors for clients unchanged. */
export function toUnavailable(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return new RegistryError('UNAVAILABLE', {
    message: 'the object store is unavailable',
    headers: { 'Retry-After': '5' },
    cause: error,
  });
}
