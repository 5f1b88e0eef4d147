/**
 * The wire, without I/O: names, digests, manifests, headers and, in this file, errors. Subfolders hold endpoint tables,
 * settings, tokens and the meaning of an upstream's answers. Every layer may import it; it imports nothing else.
 */
import type { RefusedLogin } from './tokens/login-problem.js';
import type { RefusalReason } from './refusal-reasons.js';

/**
 * All error codes with their status and default message. Those up to TOOMANYREQUESTS are in distribution-spec, "Error Codes";
 * the last block is our own.
 */
export const errorTable = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to this image' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'invalid blob upload' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'unknown blob upload: it was completed or cancelled, or it expired' },
  DIGEST_INVALID: { status: 400, message: 'the digest is malformed or does not match the content' },
  MANIFEST_BLOB_UNKNOWN: { status: 400, message: 'the manifest references content that the registry does not have' },
  MANIFEST_INVALID: { status: 400, message: 'invalid manifest' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to this registry' },
  SIZE_INVALID: { status: 400, message: 'the length received differs from the length announced' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'access denied' },
  UNSUPPORTED: { status: 405, message: 'operation not supported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },

  TAG_INVALID: {
    status: 400,
    message: 'invalid tag: use 1 to 128 characters of [a-zA-Z0-9_.-], not beginning with "." or "-"',
  },
  RANGE_INVALID: { status: 416, message: 'the range does not fit the content' },
  PAGINATION_NUMBER_INVALID: { status: 400, message: 'n must be a whole number, 0 or more' },
  HEADER_INVALID: { status: 400, message: 'invalid request header' },
  PRECONDITION_FAILED: { status: 412, message: 'the condition of the request does not hold' },
  UNAVAILABLE: { status: 503, message: 'service unavailable' },
  UNKNOWN: { status: 500, message: 'internal error' },

  ARCHIVE_INVALID: {
    status: 400,
    message: 'the archive is damaged, or is neither a docker save archive nor an OCI layout',
  },
  OPTIONS_INVALID: { status: 400, message: 'invalid document: see detail' },
  NOT_FOUND: { status: 404, message: 'not found' },
  CONFLICT: { status: 409, message: 'the request conflicts with the current state' },
} as const satisfies Record<string, { status: number; message: string }>;

/** An error code of the API. */
export type ErrorCode = keyof typeof errorTable;

/** Details of a `RegistryError`. */
export interface RegistryErrorFields {
  /** Replaces the default message. */
  readonly message?: string;
  /** Replaces the default status, such as 413 for a MANIFEST_INVALID that is too large. */
  readonly status?: number;
  /** Any JSON, such as the expected and the actual value. Sent to the client. */
  readonly detail?: unknown;
  /** Replaces `detail` by several: the response contains one error for each (MANIFEST_BLOB_UNKNOWN, one per digest). */
  readonly details?: readonly unknown[];
  /** Response headers of the error (Location and Range of a 416, Allow of a 405). */
  readonly headers?: Readonly<Record<string, string>>;
  /** Logged, never sent to the client. */
  readonly cause?: unknown;
  /** Logged and emitted as an event, never sent to the client. */
  readonly refusedLogin?: RefusedLogin | undefined;
  /** The limit that the client exceeded. Counted and emitted as an event. */
  readonly refusal?: RefusalReason | undefined;
}

/** The only error class that clients see: a code of the table with its details. */
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

  /** The first of `details`. */
  get detail(): unknown {
    return this.details[0];
  }
}

/** Returns whether the error is a 507: the disk is full, and the content of the request is discarded. */
export function isInsufficientStorage(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.status === 507;
}

/** Returns the JSON body of an error (distribution-spec, "Error Codes"): `{"errors":[{code,message,detail?}]}`. */
export function encodeError({ code, message, details }: RegistryError): string {
  // JSON.stringify omits a detail that is undefined.
  return JSON.stringify({ errors: details.map((detail) => ({ code, message, detail })) });
}
