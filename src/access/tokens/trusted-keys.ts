import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet } from 'jose';
import { parsePublicPems } from '../../protocol/settings/pem-keys.js';
import type { PublicKeySet } from '../../protocol/settings/token-config.js';
import type { FindKeys } from './token-verification.js';

/** Keys of a JWK Set: those of the token's `kid`, or all of the right type when it has none. @throws when it is no such set. */
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

/** Keys given as PEM, all of the right type: what a token server calls them is unknown here. */
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
