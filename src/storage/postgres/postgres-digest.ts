/**
 * Digests as bytes: half as long as text, in the same order. The first byte encodes the algorithm: 1 for sha256 and 3 for
 * sha512, followed by the hash. Descriptors in manifests may name other algorithms, which stay text after a byte that
 * sorts them before, between or after these two.
 */
import { isDigest, type Digest } from '../../protocol/digest.js';

const sha256 = 'sha256:';
const sha512 = 'sha512:';

/** Returns the bytes of a digest, or of any other text after which a page may start. */
export function encodeDigest(text: string): Buffer {
  if (!isDigest(text)) return Buffer.concat([Buffer.of(rankOf(text)), Buffer.from(text)]);
  const isShort = text.startsWith(sha256);
  return Buffer.concat([Buffer.of(isShort ? 1 : 3), Buffer.from(text.slice(sha256.length), 'hex')]);
}

/** Returns the digest of bytes; the inverse of `encodeDigest`. */
export function decodeDigest(bytes: Buffer): Digest {
  const rest = bytes.subarray(1);
  // Only `encodeDigest` makes these bytes.
  if (bytes[0] === 1) return `${sha256}${rest.toString('hex')}` as Digest;
  if (bytes[0] === 3) return `${sha512}${rest.toString('hex')}` as Digest;
  return rest.toString() as Digest;
}

/** Returns the bytes of several digests. */
export function encodeDigests(digests: Iterable<string>): Buffer[] {
  return Array.from(digests, encodeDigest);
}

function rankOf(text: string): number {
  if (text < sha256) return 0;
  return text < sha512 ? 2 : 4;
}
