import type { Readable } from 'node:stream';
import { parseJson, smallLimits } from '../../protocol/json.js';
import { readDocument } from './answer-body.js';

const maxErrorBytes = 64 * 1024;

/** The error body of a registry. */
export interface ErrorBody {
  /** The first code, which may be any text. */
  readonly code: string;
}

/**
 * Reads the error body that registries write (OCI "Error Codes"): `errors` with a code. Returns `undefined` for others, such as
 * that of a gateway, whose errors have no code.
 */
export async function readErrorBody(body: Readable, timeoutMs: number): Promise<ErrorBody | undefined> {
  try {
    const bytes = await readDocument(body, { maxBytes: maxErrorBytes, timeoutMs });
    const document = parseJson(bytes, smallLimits) as { errors?: unknown } | null;
    if (!Array.isArray(document?.errors)) return undefined;
    const code = (document.errors[0] as { code?: unknown } | null | undefined)?.code;
    return typeof code === 'string' && code !== '' ? { code } : undefined;
  } catch {
    return undefined;
  }
}
