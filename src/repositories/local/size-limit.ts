import type { RegistryError } from '../../protocol/errors.js';

/** The maximum size of a blob, and the error for a larger one. */
export interface SizeLimit {
  readonly maxBytes: number;
  /** @param bytes the size of the blob, as far as it is known. */
  readonly refuse: (bytes: number) => RegistryError;
}
