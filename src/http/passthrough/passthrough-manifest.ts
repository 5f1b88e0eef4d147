import type { Forward } from '../../ports/upstream.js';
import { maxManifestBytes, parseManifest } from '../../protocol/manifests/manifest.js';
import { firstOf, mediaTypeOf } from '../../protocol/upstream/answer-headers.js';
import { failed } from '../../protocol/upstream/verdict.js';
import { readDocument } from '../../util/outgoing/answer-body.js';
import type { Answer } from '../../util/outgoing/transport.js';

/** A manifest that was read completely. */
export interface ReadManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/**
 * Reads a manifest whose `Content-Type` is not the type of a manifest, or that is compressed: some registries send
 * `application/json` or no type, and only the manifest itself has its type. Returns `undefined` when the answer is something
 * else, or does not have to be read.
 * @param types the media types of manifests.
 * @throws UpstreamVerdict failed when the content is not a manifest, such as a login page.
 */
export async function readUntypedManifest(
  { status, headers, body, hop }: Answer,
  { url, outgoing }: Pick<Forward, 'url' | 'outgoing'>,
  types: readonly string[],
): Promise<ReadManifest | undefined> {
  const type = mediaTypeOf(headers);
  const isTyped = type !== undefined && types.includes(type);
  const isReady = isTyped && firstOf(headers, 'content-encoding') === undefined;
  if (isReady || status !== 200 || hop.method === 'HEAD' || !/\/manifests\/[^/]+$/.test(url.pathname)) return undefined;
  const bytes = await readDocument(body, { maxBytes: maxManifestBytes, timeoutMs: outgoing.responseTimeoutMs });
  try {
    const declared = isTyped ? type : undefined;
    return { mediaType: parseManifest(bytes, declared, undefined, { lenient: true }).mediaType, bytes };
  } catch {
    throw failed(`it sent content of the type "${type?.slice(0, 100) ?? ''}" instead of a manifest`);
  }
}
