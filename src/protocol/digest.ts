import { createHash, type Hash } from 'node:crypto';
import { RegistryError } from './errors.js';

/** The supported digest algorithms. sha256 is required, sha512 optional (image-spec, descriptor.md). */
export const algorithms = ['sha256', 'sha512'] as const;
/** A supported digest algorithm. */
export type Algorithm = (typeof algorithms)[number];

declare const digestBrand: unique symbol;
/** `<algorithm>:<lower-case hex>` with a supported algorithm and the right length, as `parseDigest` ensures. */
export type Digest = string & { readonly [digestBrand]: true };

const hexLength: Record<Algorithm, number> = { sha256: 64, sha512: 128 };
const hexPattern: Record<Algorithm, RegExp> = { sha256: /^[a-f0-9]{64}$/, sha512: /^[a-f0-9]{128}$/ };
/** Matches the digests that `parseDigest` accepts. */
export const digestPattern = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
/** The length of a sha512 digest, the longest one supported. */
const maxDigestLength = 'sha512:'.length + hexLength.sha512;
/** The general grammar of digests (image-spec, descriptor.md), including unsupported algorithms. */
const generalPattern = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/** Returns whether the text names a supported algorithm. */
export function isAlgorithm(text: string): text is Algorithm {
  return text === 'sha256' || text === 'sha512';
}

/** Returns whether the text is a digest with a supported algorithm. */
export function isDigest(text: string): text is Digest {
  return text.length <= maxDigestLength && digestPattern.test(text);
}

/** Parses a digest. @throws RegistryError DIGEST_INVALID when it is malformed or its algorithm is not supported. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryError('DIGEST_INVALID', {
    message: 'invalid digest: expected sha256:<64 hex digits> or sha512:<128 hex digits> in lower case',
    detail: { digest: text.slice(0, 200) },
  });
}

/**
 * Parses a digest. Returns `undefined` for an unsupported algorithm: the registry never has such content.
 * @throws RegistryError DIGEST_INVALID when it is malformed.
 */
export function parseKnownDigest(text: string): Digest | undefined {
  return isAlgorithm(text.slice(0, text.indexOf(':'))) ? parseDigest(text) : undefined;
}

/**
 * Returns whether a descriptor in a manifest may have this digest. Any algorithm is valid there; digests with unsupported
 * ones are kept as text.
 */
export function isDescriptorDigest(text: string): boolean {
  if (text.length > 512 || !generalPattern.test(text)) return false;
  const algorithm = text.slice(0, text.indexOf(':'));
  return !isAlgorithm(algorithm) || hexPattern[algorithm].test(text.slice(algorithm.length + 1));
}

/** Returns the algorithm of a digest. */
export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** Returns the hex part of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Parses a `digest-algorithm`. @throws RegistryError DIGEST_INVALID 400 for an unsupported one (end-4c). */
export function parseAlgorithm(text: string): Algorithm {
  if (isAlgorithm(text)) return text;
  throw new RegistryError('DIGEST_INVALID', {
    message: `unsupported digest algorithm: use one of ${algorithms.join(', ')}`,
    detail: { algorithm: text.slice(0, 200) },
  });
}

/** Returns the digest of the data that was added to the hash. */
export function formatDigest(algorithm: Algorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}

/** Returns the digest of bytes in memory, such as a manifest. Blobs are hashed as they arrive. */
export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return formatDigest(algorithm, createHash(algorithm).update(bytes));
}
