import type { Forward } from '../../ports/upstream.js';
import { maxManifestBytes, parseManifest } from '../../protocol/manifests/manifest.js';
import { firstOf, mediaTypeOf, type AnswerHeaders } from '../../protocol/upstream/answer-headers.js';
import { failed } from '../../protocol/upstream/verdict.js';
import { readDocument } from '../../util/outgoing/answer-body.js';
import type { Answer } from '../../util/outgoing/transport.js';

/** A manifest that was read completely. */
export interface ReadManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/**
 * Returns whether the answer is a manifest whose `Content-Type` is not the type of a manifest, or that is compressed: some
 * registries send `application/json` or no type, and only the manifest itself has its type.
 * @param types the media types of manifests.
 */
export function isUntypedManifest(
  { status, headers, hop }: Answer,
  { url }: Pick<Forward, 'url'>,
  types: readonly string[],
): boolean {
  const isReady = isTyped(headers, types) && firstOf(headers, 'content-encoding') === undefined;
  return !isReady && status === 200 && hop.method !== 'HEAD' && /\/manifests\/[^/]+$/.test(url.pathname);
}

/**
 * Reads such a manifest.
 * @throws UpstreamVerdict failed when the content is not a manifest, such as a login page.
 */
export async function readManifest(
  { headers, body }: Answer,
  { outgoing }: Pick<Forward, 'outgoing'>,
  types: readonly string[],
): Promise<ReadManifest> {
  const type = mediaTypeOf(headers);
  const bytes = await readDocument(body, { maxBytes: maxManifestBytes, timeoutMs: outgoing.responseTimeoutMs });
  try {
    const declared = isTyped(headers, types) ? type : undefined;
    return { mediaType: parseManifest(bytes, declared, undefined, { lenient: true }).mediaType, bytes };
  } catch {
    throw failed(`it sent content of the type "${type?.slice(0, 100) ?? ''}" instead of a manifest`);
  }
}

function isTyped(headers: AnswerHeaders, types: readonly string[]): boolean {
  const type = mediaTypeOf(headers);
  return type !== undefined && types.includes(type);
}
