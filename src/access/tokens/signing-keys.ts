import type { CryptoKey } from 'jose';
import type { SigningKeyInfo } from '../../ports/access/access.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Documents } from '../../ports/metadata/documents.js';
import type { MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';

/** The ES256 keys of our own tokens. */
export interface SigningKeys {
  /** Returns the key that signs now. */
  signer(): Promise<{ readonly id: string; readonly key: CryptoKey }>;
  /** Returns the public key with this id; `undefined` if it is unknown or expired. */
  verifier(id: string): Promise<CryptoKey | undefined>;
  /** Creates a key that signs from now on. @throws RegistryError CONFLICT if the options declare the keys. */
  rotate(by: Actor): Promise<SigningKeyInfo>;
  /** Returns the keys that verify; the first one signs. */
  list(): Promise<readonly SigningKeyInfo[]>;
}

/** The source of the keys, and their lifetime. */
export interface SigningKeysOptions {
  /** PEM: the first signs, all verify. Absent: keys are created and kept in the store. */
  readonly keys?: readonly string[] | undefined;
  readonly store: Documents & MetadataWriter;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  readonly rotateSeconds: number;
  /** How long a replaced key still verifies: as long as any token can live. */
  readonly keepSeconds: number;
}
