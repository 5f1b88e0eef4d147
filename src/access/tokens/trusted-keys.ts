import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet } from 'jose';
import { parsePublicPems } from '../../protocol/settings/pem-keys.js';
import type { PublicKeySet } from '../../protocol/settings/token-config.js';
import type { FindKeys } from './token-verification.js';

/**
 * Finds keys in a JWK Set: those with the token's `kid`, or all of the right type if the token has none.
 * @throws Error when the set is malformed.
 */
export function keysOfSet(set: PublicKeySet): FindKeys {
  const find = createLocalJWKSet(set as JSONWebKeySet);
  return async (header) => {
    try {
      return [await find({ ...header, alg: header.alg ?? '' })];
    } catch (error) {
      return error instanceof errors.JWKSMultipleMatchingKeys ? collect(error) : [];
    }
  };
}

/** Finds all keys of the right type among keys in PEM. PEM has no key ids, so the token's `kid` is ignored. */
export function keysOfPems(pems: readonly string[]): FindKeys {
  const keys = pems.flatMap((pem) => parsePublicPems(pem) ?? []);
  const find = keysOfSet({ keys: keys.map((key) => ({ ...key.export({ format: 'jwk' }) })) });
  return ({ kid: _any, ...header }) => find(header);
}

async function collect(keys: AsyncIterable<CryptoKey>): Promise<CryptoKey[]> {
  const collected: CryptoKey[] = [];
  for await (const key of keys) collected.push(key);
  return collected;
}
