/** Classifies errors of the database for the callers of the store. */
import { RegistryError } from '../../protocol/errors.js';

/** Seconds after which clients try again while the database is away. */
const retryAfter = '5';

/** Codes of PostgreSQL and of sockets while the server is away, overloaded or read-only. */
const awayCodes =
  /^(?:08...|57P0.|57014|53.0.|55P03|25006|25P0[34]|E(?:CONN\w+|NOENT|TIMEDOUT|PIPE|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN))$/;
/** The driver has no codes for its own failures. */
const awayMessages =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|not queryable|connection error|Cannot use a pool|server closed the connection/i;

/** Returns the code of an error of PostgreSQL or of the system. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Returns whether the same transaction may succeed when it runs again: a deadlock, or a conflict of serialization. */
export function isTransient(error: unknown): boolean {
  return ['40P01', '40001'].includes(codeOf(error) ?? '');
}

/** Returns whether the database did not answer, or refused to work. */
function isAway(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) return awayCodes.test(code);
  return error instanceof Error && awayMessages.test(error.message);
}

/** Returns whether the server answered with an error, so that the transaction is known to have failed. */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && 'severity' in error && !(codeOf(error) ?? '57P').startsWith('57P');
}

/** Returns whether the disk of the database is full. */
export function isDatabaseFull(error: unknown): boolean {
  return codeOf(error) === '53100';
}

/** Returns whether an error is the one for callers while the database is away. */
export function isUnavailable(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.code === 'UNAVAILABLE';
}

/** Creates the error for callers while the database is away. */
export function unavailable(cause: unknown, message = 'the database is unavailable'): RegistryError {
  const full = isDatabaseFull(cause);
  return new RegistryError('UNAVAILABLE', {
    message: full ? 'the disk of the database is full' : message,
    ...(full ? { status: 507 } : {}),
    headers: { 'Retry-After': retryAfter },
    cause,
  });
}

/** Translates an error for the callers of the store. Returns errors that are not about the database unchanged. */
export function toStoreError(error: unknown): unknown {
  return isAway(error) ? unavailable(error) : error;
}
