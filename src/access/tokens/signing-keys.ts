import type { KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, importJWK, type CryptoKey, type JWK } from 'jose';
import type { MetadataStore } from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { SigningKeyInfo } from '../../ports/access.js';
import { RegistryError } from '../../protocol/errors.js';
import { parseEs256Pem } from '../../protocol/settings/pem-keys.js';
import { ManagedKeys } from './managed-keys.js';

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
  readonly store: Pick<MetadataStore, 'record' | 'records' | 'apply'>;
  readonly runtime: Pick<Runtime, 'now' | 'log'>;
  readonly rotateSeconds: number;
  /** How long a key that was replaced verifies: as long as any token lives. */
  readonly keepSeconds: number;
}

/** The given keys, or those in the store; makes one where there is none, or when it is old. */
export async function openSigningKeys(options: SigningKeysOptions): Promise<SigningKeys> {
  return options.keys === undefined ? ManagedKeys.open(options) : openDeclaredKeys(options.keys, options.runtime.now());
}

async function openDeclaredKeys(pems: readonly string[], openedAt: number): Promise<SigningKeys> {
  const parsed = pems.map(parseEs256Pem);
  const [first] = parsed;
  // The options were checked; this is for whoever forgot to.
  if (first?.type !== 'private' || parsed.includes(undefined))
    throw new Error('the first key must be a private P-256 key');
  const declared = await Promise.all((parsed as KeyObject[]).map(importPublic));
  const signing = { id: declared[0]?.id ?? '', key: await importEs256(first.export({ format: 'jwk' })) };
  const byId = new Map(declared.map(({ id, key }) => [id, key]));
  const list = [...byId.keys()].map((id): SigningKeyInfo => {
    return { id, createdAt: openedAt, origin: 'declared', signs: id === signing.id };
  });
  return {
    signer: () => Promise.resolve(signing),
    verifier: (id) => Promise.resolve(byId.get(id)),
    rotate: () => Promise.reject(new RegistryError('CONFLICT', { message: 'the keys are given in the options' })),
    list: () => Promise.resolve(list),
  };
}

async function importPublic(key: KeyObject): Promise<{ readonly id: string; readonly key: CryptoKey }> {
  const { d: _secret, ...jwk } = key.export({ format: 'jwk' });
  return { id: await calculateJwkThumbprint(jwk), key: await importEs256(jwk) };
}

async function importEs256(jwk: JWK): Promise<CryptoKey> {
  return (await importJWK(jwk, 'ES256')) as CryptoKey;
}
