import { createHash, type Hash } from 'node:crypto';
import { RegistryError } from './errors.js';

/** The algorithms whose content we can verify. sha256 must be implemented, sha512 may (image-spec, descriptor.md). */
export const algorithms = ['sha256', 'sha512'] as const;
export type Algorithm = (typeof algorithms)[number];

declare const digestBrand: unique symbol;
/** `<algorithm>:<lower-case hex>`, with an algorithm of `algorithms` and the right length. Made by `parseDigest` alone. */
export type Digest = string & { readonly [digestBrand]: true };

const hexLength: Record<Algorithm, number> = { sha256: 64, sha512: 128 };
const hexPattern: Record<Algorithm, RegExp> = { sha256: /^[a-f0-9]{64}$/, sha512: /^[a-f0-9]{128}$/ };
/** A digest that `parseDigest` takes. */
export const digestPattern = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
/** "sha512:" and 128 digits: nothing longer can be a digest that we serve. */
const maxDigestLength = 'sha512:'.length + hexLength.sha512;
/** The general grammar of image-spec's descriptor.md: what a manifest may mention without our being able to verify it. */
const foreignPattern = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

export function isAlgorithm(text: string): text is Algorithm {
  return text === 'sha256' || text === 'sha512';
}

export function isDigest(text: string): text is Digest {
  return text.length <= maxDigestLength && digestPattern.test(text);
}

/** @throws RegistryError DIGEST_INVALID when the text is no digest, or one of an algorithm that we cannot verify. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryError('DIGEST_INVALID', {
    message: `a digest is sha256:<64 hex digits> or sha512:<128 hex digits>, in lower case`,
    detail: { digest: text.slice(0, 200) },
  });
}

/** Returns the digest, or `undefined` for one of an algorithm whose content we never hold. @throws RegistryError DIGEST_INVALID. */
export function parseKnownDigest(text: string): Digest | undefined {
  return isAlgorithm(text.slice(0, text.indexOf(':'))) ? parseDigest(text) : undefined;
}

/**
 * A digest as a descriptor inside a manifest may have it: of any algorithm, if it keeps the grammar. One that we could
 * not verify is a reference to something that we never hold, so it is kept as plain text.
 */
export function isDescriptorDigest(text: string): boolean {
  if (text.length > 512 || !foreignPattern.test(text)) return false;
  const algorithm = text.slice(0, text.indexOf(':'));
  return !isAlgorithm(algorithm) || hexPattern[algorithm].test(text.slice(algorithm.length + 1));
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The hex part of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** @throws RegistryError DIGEST_INVALID (end-4c: an unsupported `digest-algorithm` SHOULD be answered by 400). */
export function parseAlgorithm(text: string): Algorithm {
  if (isAlgorithm(text)) return text;
  throw new RegistryError('DIGEST_INVALID', {
    message: `the digest algorithm is not supported: use one of ${algorithms.join(', ')}`,
    detail: { algorithm: text.slice(0, 200) },
  });
}

export function formatDigest(algorithm: Algorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}

/** The digest of bytes in memory (manifests; blobs are hashed as they come in). */
export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return formatDigest(algorithm, createHash(algorithm).update(bytes));
}
