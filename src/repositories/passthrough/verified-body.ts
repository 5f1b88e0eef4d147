import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { algorithmOf, hexOf, type Digest } from '../../protocol/digest.js';
import { toRefusal } from '../../protocol/upstream/refusal.js';

/**
 * Yields the bytes of a whole blob. Withholds the last one until the digest is verified, so that wrong bytes never look
 * complete.
 * @param expected.size Infinity when it is not known.
 * @throws RegistryError UNAVAILABLE when they have another digest or length.
 */
export async function* verifiedBody(
  source: Readable,
  { upstream, digest, size }: { readonly upstream: string; readonly digest: Digest; readonly size: number },
): AsyncGenerator<Buffer> {
  const failed = (reason: string): Error => toRefusal({ type: 'failed', reason: { upstream, reason } });
  const hash = createHash(algorithmOf(digest));
  let received = 0;
  let last: Buffer | undefined;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    if (chunk.length === 0) continue;
    received += chunk.length;
    if (received > size) throw failed(`its content is longer than ${size} bytes`);
    hash.update(chunk);
    if (last !== undefined) yield last;
    const mayEnd = size === Infinity || received === size;
    last = mayEnd ? chunk.subarray(-1) : undefined;
    if (!mayEnd) yield chunk;
    else if (chunk.length > 1) yield chunk.subarray(0, -1);
  }
  if (received < size && size !== Infinity) throw failed(`its content has ${received} bytes instead of ${size}`);
  if (hash.digest('hex') !== hexOf(digest)) throw failed('its content has another digest');
  if (last !== undefined) yield last;
}
