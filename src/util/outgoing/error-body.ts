import type { Readable } from 'node:stream';
import { parseJson, smallLimits } from '../../protocol/json.js';
import { readDocument } from './answer-body.js';

const maxErrorBytes = 64 * 1024;

/** The error body of a registry. */
export interface ErrorBody {
  /** The first code, which may be any text. Absent when the error has none. */
  readonly code?: string;
}

/** Reads the error body that registries write (OCI "Error Codes"): an object with `errors`. Returns `undefined` for others. */
export async function readErrorBody(body: Readable, timeoutMs: number): Promise<ErrorBody | undefined> {
  try {
    const bytes = await readDocument(body, { maxBytes: maxErrorBytes, timeoutMs });
    const document = parseJson(bytes, smallLimits) as { errors?: unknown } | null;
    if (!Array.isArray(document?.errors)) return undefined;
    const code = (document.errors[0] as { code?: unknown } | null | undefined)?.code;
    return typeof code === 'string' ? { code } : {};
  } catch {
    return undefined;
  }
}
