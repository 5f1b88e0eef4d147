import type { KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, importJWK, type CryptoKey, type JWK } from 'jose';
import type { SigningKeyInfo } from '../../ports/access/access.js';
import { RegistryError } from '../../protocol/errors.js';
import { parseEs256Pem } from '../../protocol/settings/pem-keys.js';
import { ManagedKeys } from './managed-keys.js';
import type { SigningKeys, SigningKeysOptions } from './signing-keys.js';

/** Returns the keys that the options declare, or else the managed keys in the store. */
export async function openSigningKeys(options: SigningKeysOptions): Promise<SigningKeys> {
  return options.keys === undefined ? ManagedKeys.open(options) : openDeclaredKeys(options.keys, options.runtime.now());
}

async function openDeclaredKeys(pems: readonly string[], openedAt: number): Promise<SigningKeys> {
  const parsed = pems.map(parseEs256Pem);
  const [first] = parsed;
  // resolveOptions has checked this already.
  if (first?.type !== 'private' || parsed.includes(undefined))
    throw new Error('the first signing key must be a private P-256 key');
  const declared = await Promise.all((parsed as KeyObject[]).map(importPublic));
  const signing = { id: declared[0]?.id ?? '', key: await importEs256(first.export({ format: 'jwk' })) };
  const byId = new Map(declared.map(({ id, key }) => [id, key]));
  const list = [...byId.keys()].map((id): SigningKeyInfo => {
    return { id, createdAt: openedAt, origin: 'declared', signs: id === signing.id };
  });
  return {
    signer: () => Promise.resolve(signing),
    verifier: (id) => Promise.resolve(byId.get(id)),
    rotate: () =>
      Promise.reject(
        new RegistryError('CONFLICT', { message: 'the signing keys are declared in the options: change them there' }),
      ),
    list: () => Promise.resolve(list),
  };
}

async function importPublic(key: KeyObject): Promise<{ readonly id: string; readonly key: CryptoKey }> {
  const { d: _secret, ...jwk } = key.export({ format: 'jwk' });
  return { id: await calculateJwkThumbprint(jwk), key: await importEs256(jwk) };
}

async function importEs256(jwk: JWK): Promise<CryptoKey> {
  // `importJWK` returns bytes for symmetric keys only.
  return (await importJWK(jwk, 'ES256')) as CryptoKey;
}
