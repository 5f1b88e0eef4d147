/** An error in an answer, or a missing answer. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** 0: the registry did not answer. */
  readonly status: number;
  readonly code: string;
  readonly detail: unknown;
  readonly requestId: string | undefined;

  constructor(status: number, code: string, message: string, detail?: unknown, requestId?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.requestId = requestId;
  }
}

/** Returns the error in the document of an answer, or a general one if the document has none. */
export function toApiError(status: number, document: unknown, requestId: string | null): ApiError {
  const { errors } = (document ?? {}) as {
    readonly errors?: readonly { readonly code: string; readonly message: string; readonly detail?: unknown }[];
  };
  const [error] = errors ?? [];
  const { code = 'UNKNOWN', message = `the registry answered ${status}`, detail } = error ?? {};
  return new ApiError(status, code, message, detail, requestId ?? undefined);
}
