import type { RegistryError } from '../../protocol/errors.js';

/** The most bytes that a blob may have, and the error for a larger one. */
export interface SizeLimit {
  readonly maxBytes: number;
  /** @param bytes the size of the blob, as far as it is known. */
  readonly refuse: (bytes: number) => RegistryError;
}
