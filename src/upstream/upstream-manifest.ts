import type { ManifestContent, ManifestInfo } from '../ports/metadata/images.js';
import type { UpstreamAnswer } from '../ports/upstream.js';
import { algorithmOf, digestOf } from '../protocol/digest.js';
import { JsonLimitError, manifestLimits, parseJson, type JsonLimits } from '../protocol/json.js';
import { maxManifestBytes, manifestTypes, sniffManifestType } from '../protocol/manifests/manifest.js';
import type { Reference } from '../protocol/names.js';
import type { TurnGate } from '../util/scheduling/turns.js';
import { claimedDigestOf, contentLengthOf, differs, mediaTypeOf } from '../protocol/upstream/answer-headers.js';
import { readWhole, unpackGzip } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed } from '../protocol/upstream/verdict.js';

/**
 * Returns what the answer to a HEAD reports of a manifest.
 * @throws UpstreamVerdict failed when it reports another digest than the requested one.
 */
export function readManifestHead({ headers }: Answer, reference: Reference): Partial<ManifestInfo> {
  const claimed = claimedDigestOf(headers);
  const requested = 'digest' in reference ? reference.digest : undefined;
  if (differs(requested, claimed)) throw failed(`the content does not match: it reports ${claimed}`);
  const digest = requested ?? claimed;
  const type = mediaTypeOf(headers);
  const size = contentLengthOf(headers);
  return {
    ...(digest === undefined ? {} : { digest }),
    ...(type !== undefined && manifestTypes.includes(type) ? { mediaType: type } : {}),
    // A manifest is never empty. Some proxies report 0 for a HEAD whose length they do not know.
    ...(size === undefined || size === 0 ? {} : { size }),
  };
}

/**
 * Returns a manifest's unchanged bytes with its verified digest and its media type.
 * @throws UpstreamVerdict failed when the body is too large or ends early, or when it does not have the requested or
 * reported digest.
 */
export async function readManifest(
  answer: Answer,
  reference: Reference,
  timeoutMs: number,
  gate: TurnGate,
): Promise<ManifestContent> {
  const received = await readWhole(answer.body, { maxBytes: maxManifestBytes, timeoutMs });
  const expected = 'digest' in reference ? reference.digest : claimedDigestOf(answer.headers);
  const algorithm = expected === undefined ? 'sha256' : algorithmOf(expected);
  const isRaw = expected !== undefined && digestOf(received, algorithm) === expected;
  const bytes = isRaw ? received : await unpackGzip(received, maxManifestBytes);
  const digest = digestOf(bytes, algorithm);
  if (expected !== undefined && digest !== expected)
    throw failed(`the content does not match: expected ${expected}, received ${digest}`);
  await gate.pass(bytes.length);
  return { digest, mediaType: chooseMediaType(answer, bytes), size: bytes.length, bytes };
}

/** Returns whether an answer has the media type of a manifest. */
export function hasManifestType({ headers }: UpstreamAnswer): boolean {
  return manifestTypes.includes(mediaTypeOf(headers) ?? '');
}

/** Content-Types that do not say what the content is. */
export const genericTypes: ReadonlySet<string | undefined> = new Set<string | undefined>([
  undefined,
  'application/json',
  'application/octet-stream',
  'text/plain',
]);

/**
 * Returns `Content-Type` if it is a manifest type, else `mediaType` of the body, else the type that its structure suggests.
 * @throws UpstreamVerdict failed when there is none, as for a login page.
 */
function chooseMediaType({ headers }: Answer, bytes: Buffer): string {
  const type = mediaTypeOf(headers);
  if (type !== undefined && manifestTypes.includes(type)) return type;
  const json = parseObject(bytes, manifestLimits) ?? {};
  const inBody = json['mediaType'] ?? (genericTypes.has(type) ? sniffManifestType(json) : undefined);
  if (typeof inBody === 'string' && manifestTypes.includes(inBody)) return inBody;
  const claimed = typeof inBody === 'string' ? inBody : type;
  if (claimed === undefined) throw failed('it sent a manifest without a media type');
  throw failed(`it sent content of the type "${claimed.slice(0, 100)}" instead of a manifest`);
}

/**
 * Parses a JSON object. Returns `undefined` when the bytes are something else.
 * @param onExcess called when they exceed the limits. May throw. @default returns `undefined`
 */
export function parseObject(
  bytes: Buffer,
  limits: JsonLimits,
  onExcess?: () => never,
): Readonly<Record<string, unknown>> | undefined {
  try {
    const json = parseJson(bytes, limits);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof JsonLimitError) onExcess?.();
    return undefined;
  }
}
