import type { RefusedLogin } from './tokens/login-problem.js';
import type { RefusalReason } from './refusal-reasons.js';

/** Every error code that we answer with its status and default message (distribution-spec, "Error Codes"; the last block is ours). */
export const errorTable = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to this image' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown: it was finished, cancelled or has expired' },
  DIGEST_INVALID: { status: 400, message: 'the digest does not match the content, or is malformed' },
  MANIFEST_BLOB_UNKNOWN: { status: 400, message: 'the manifest references something that is not here' },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to this registry' },
  SIZE_INVALID: { status: 400, message: 'the length received differs from the length announced' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'access denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is not supported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },

  TAG_INVALID: {
    status: 400,
    message: 'a tag has 1 to 128 characters of [a-zA-Z0-9_.-] and begins with none of . and -',
  },
  RANGE_INVALID: { status: 416, message: 'the range does not fit the content' },
  PAGINATION_NUMBER_INVALID: { status: 400, message: 'n must be a whole number, 0 or more' },
  UNAVAILABLE: { status: 503, message: 'service unavailable' },
  UNKNOWN: { status: 500, message: 'internal error' },

  ARCHIVE_INVALID: { status: 400, message: 'the archive is broken, or is neither of docker save nor an OCI layout' },
  OPTIONS_INVALID: { status: 400, message: 'the document has problems' },
  NOT_FOUND: { status: 404, message: 'there is no such thing' },
  CONFLICT: { status: 409, message: 'the request conflicts with the present state' },
} as const satisfies Record<string, { status: number; message: string }>;

export type ErrorCode = keyof typeof errorTable;

export interface RegistryErrorFields {
  /** Replaces the table's message. */
  readonly message?: string;
  /** Replaces the table's status where the spec allows two (MANIFEST_INVALID is 413 when too large). */
  readonly status?: number;
  /** Any JSON: what was found and expected. Goes to the client. */
  readonly detail?: unknown;
  /** Instead of one detail: the body gets an error of this code for each (MANIFEST_BLOB_UNKNOWN, one per digest). */
  readonly details?: readonly unknown[];
  /** Response headers that belong to the refusal (Location and Range with a 416, Allow with a 405). */
  readonly headers?: Readonly<Record<string, string>>;
  /** Goes to the log, never to the client. */
  readonly cause?: unknown;
  /** Goes to the log and an event, never to the client. */
  readonly refusedLogin?: RefusedLogin | undefined;
  /** The limit that the client met: goes to an event and is counted. */
  readonly refusal?: RefusalReason | undefined;
}

/** The one error class that reaches a client: a code of the table above and what goes with it. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: readonly unknown[];
  readonly headers: Readonly<Record<string, string>>;
  readonly refusedLogin: RefusedLogin | undefined;
  readonly refusal: RefusalReason | undefined;

  constructor(code: ErrorCode, fields: RegistryErrorFields = {}) {
    super(fields.message ?? errorTable[code].message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = code;
    this.status = fields.status ?? errorTable[code].status;
    this.details = fields.details ?? [fields.detail];
    this.headers = fields.headers ?? {};
    this.refusedLogin = fields.refusedLogin;
    this.refusal = fields.refusal;
  }

  /** What was found and expected; the first of `details`. */
  get detail(): unknown {
    return this.details[0];
  }
}

/** Whether the disk was too full: for 507, what a request brought is given up. */
export function isInsufficientStorage(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.status === 507;
}

/** The JSON body of an error (distribution-spec, "Error Codes"): `{"errors":[{code,message,detail?}]}`. */
export function encodeError({ code, message, details }: RegistryError): string {
  // JSON leaves out a detail that is undefined.
  return JSON.stringify({ errors: details.map((detail) => ({ code, message, detail })) });
}
