import type { CryptoKey } from 'jose';
import type { SigningKeyInfo } from '../../ports/access.js';
import type { Documents, MetadataWriter } from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';

/** The ES256 keys of our own tokens. */
export interface SigningKeys {
  /** The key that signs now. */
  signer(): Promise<{ readonly id: string; readonly key: CryptoKey }>;
  /** The public key of an id; `undefined` when nothing it signed is believed, or no more. */
  verifier(id: string): Promise<CryptoKey | undefined>;
  /** Makes a key that signs from now on. @throws CONFLICT when the keys are given. */
  rotate(): Promise<SigningKeyInfo>;
  /** The one that signs first. */
  list(): Promise<readonly SigningKeyInfo[]>;
}

export interface SigningKeysOptions {
  /** PEM: the first signs, all verify. Absent: they are made and kept in the store. */
  readonly keys?: readonly string[] | undefined;
  readonly store: Documents & MetadataWriter;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  readonly rotateSeconds: number;
  /** How long a key that was replaced verifies: as long as any token lives. */
  readonly keepSeconds: number;
}
