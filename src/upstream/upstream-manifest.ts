import type { ManifestContent, ManifestInfo } from '../ports/images.js';
import { algorithmOf, digestOf } from '../protocol/digest.js';
import { manifestLimits, parseJson, type JsonLimits } from '../protocol/json.js';
import { maxManifestBytes, manifestTypes } from '../protocol/manifest.js';
import type { Reference } from '../protocol/names.js';
import type { TurnGate } from '../util/turns.js';
import { claimedDigestOf, contentLengthOf, differs, mediaTypeOf } from '../protocol/upstream/answer-headers.js';
import { readWhole } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed } from '../protocol/upstream/verdict.js';

/**
 * What a HEAD tells of a manifest.
 * @throws UpstreamVerdict failed when it claims another digest than the one that was asked for.
 */
export function readManifestHead({ headers }: Answer, reference: Reference): Partial<ManifestInfo> {
  const claimed = claimedDigestOf(headers);
  const asked = 'digest' in reference ? reference.digest : undefined;
  if (differs(asked, claimed)) throw failed(`the content does not match: ${claimed} is claimed`);
  const digest = asked ?? claimed;
  const type = mediaTypeOf(headers);
  const size = contentLengthOf(headers);
  return {
    ...(digest === undefined ? {} : { digest }),
    ...(type !== undefined && manifestTypes.includes(type) ? { mediaType: type } : {}),
    // No manifest is empty: some proxies say 0 for a HEAD whose length they do not know.
    ...(size === undefined || size === 0 ? {} : { size }),
  };
}

/**
 * A manifest's bytes as they are, verified, with its digest and type.
 * @throws UpstreamVerdict failed when they are too large, broke off, or are not what was asked for or claimed.
 */
export async function readManifest(
  answer: Answer,
  reference: Reference,
  timeoutMs: number,
  gate: TurnGate,
): Promise<ManifestContent> {
  const bytes = await readWhole(answer.body, { maxBytes: maxManifestBytes, timeoutMs });
  const expected = 'digest' in reference ? reference.digest : claimedDigestOf(answer.headers);
  const digest = digestOf(bytes, expected === undefined ? 'sha256' : algorithmOf(expected));
  if (expected !== undefined && digest !== expected)
    throw failed(`the content does not match: ${expected} was expected, ${digest} came`);
  await gate.pass(bytes.length);
  return { digest, mediaType: chooseMediaType(answer, bytes), size: bytes.length, bytes };
}

/**
 * The Content-Type, or what the body says of itself, whichever is the type of a manifest.
 * @throws UpstreamVerdict failed when neither is: a login page, for example.
 */
function chooseMediaType({ headers }: Answer, bytes: Buffer): string {
  const type = mediaTypeOf(headers);
  if (type !== undefined && manifestTypes.includes(type)) return type;
  const inBody = (parseObject(bytes, manifestLimits) ?? {})['mediaType'];
  if (typeof inBody === 'string' && manifestTypes.includes(inBody)) return inBody;
  const claimed = typeof inBody === 'string' ? inBody : type;
  if (claimed === undefined) throw failed('it sent a manifest without a media type');
  throw failed(`it sent content of the type "${claimed.slice(0, 100)}" instead of a manifest`);
}

/** The JSON object that the bytes hold; `undefined` when they hold something else, or more than the limits. */
export function parseObject(bytes: Buffer, limits: JsonLimits): Readonly<Record<string, unknown>> | undefined {
  try {
    const json = parseJson(bytes, limits);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
