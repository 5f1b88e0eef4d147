import type { ManifestContent, Referrer } from '../ports/metadata/images.js';
import { algorithmOf, hexOf, isDigest, type Digest } from '../protocol/digest.js';
import { manifestLimits } from '../protocol/json.js';
import { ociIndexType } from '../protocol/manifests/manifest.js';
import { parseTag, type Tag } from '../protocol/names.js';
import { isTextRecord } from '../protocol/manifests/schemas.js';
import { mediaTypeOf } from '../protocol/upstream/answer-headers.js';
import { absent, UpstreamVerdict } from '../protocol/upstream/verdict.js';
import { discard } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { sortInTurns } from '../util/scheduling/sort-in-turns.js';
import { readPages } from './upstream-lists.js';
import { genericTypes, parseObject } from './upstream-manifest.js';

/** The answers of registries without a referrers API, besides 404. */
const withoutApi = new Set([400, 401, 403, 405, 406, 501]);

/** The requests for the referrers of one subject. They throw an `UpstreamVerdict` unless the answer is 200. */
export interface ReferrersRequests {
  readonly subject: Digest;
  /** The URL of the first page of the API. */
  readonly first: URL;
  getPage(url: URL): Promise<Answer>;
  getManifest(tag: Tag): Promise<ManifestContent>;
  /** The time limit for one page. */
  readonly timeoutMs: number;
}

/** Lists the referrers in byte order of the digest: by the API, else by the fallback tag (OCI "Referrers Tag Schema"). */
export async function readAllReferrers(requests: ReferrersRequests): Promise<readonly Referrer[]> {
  const { first, timeoutMs } = requests;
  const seen = { json: false, text: false };
  try {
    const getPage = async (url: URL): Promise<Answer> => {
      const answer = refuseWebPage(await requests.getPage(url));
      seen[isJson(answer) ? 'json' : 'text'] = true;
      return answer;
    };
    return await sort(await readPages(first, getPage, readReferrers, timeoutMs));
  } catch (error) {
    if (seen.json || !(error instanceof UpstreamVerdict)) throw error;
    const { status, isLasting } = error.fields;
    // Text that is not a list came from something else than the API.
    const isOther = seen.text && isLasting === true;
    if (!isOther && error.type !== 'absent' && (status === undefined || !withoutApi.has(status))) throw error;
    const listed = await readFallbackTag(requests);
    // A 403 may protect existing referrers: without a fallback tag it does not mean that there are none.
    if (listed === undefined && status === 403) throw error;
    return listed ?? [];
  }
}

function isJson({ headers }: Answer): boolean {
  return mediaTypeOf(headers)?.endsWith('json') === true;
}

/** Treats a web page as 404: some servers without the API answer 200 with one. Other registries send lists without a type. */
function refuseWebPage(answer: Answer): Answer {
  if (isJson(answer) || genericTypes.has(mediaTypeOf(answer.headers))) return answer;
  discard(answer.body);
  throw absent('no referrers API');
}

/** Returns `undefined` without a tag that lists referrers. GitLab answers with the subject itself. */
async function readFallbackTag(requests: ReferrersRequests): Promise<readonly Referrer[] | undefined> {
  try {
    const { bytes, digest, mediaType } = await requests.getManifest(fallbackTag(requests.subject));
    if (digest === requests.subject || mediaType !== ociIndexType) return undefined;
    return await sort(readReferrers(parseObject(bytes, manifestLimits) ?? {}) ?? []);
  } catch (error) {
    if (error instanceof UpstreamVerdict && error.type === 'absent') return undefined;
    throw error;
  }
}

/** Returns the valid descriptors of an index. Skips those whose digest algorithm is not supported. */
function readReferrers(page: Readonly<Record<string, unknown>>): readonly Referrer[] | undefined {
  const manifests = page['manifests'];
  if (manifests === null) return [];
  return Array.isArray(manifests) ? manifests.flatMap((item) => readDescriptor(item) ?? []) : undefined;
}

function readDescriptor(item: unknown): Referrer | undefined {
  if (typeof item !== 'object' || item === null) return undefined;
  const { digest, mediaType, size, artifactType, annotations } = item as Record<string, unknown>;
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined;
  if (typeof mediaType !== 'string' || typeof size !== 'number') return undefined;
  if (!Number.isSafeInteger(size) || size < 0) return undefined;
  return {
    digest,
    mediaType,
    size,
    ...(typeof artifactType === 'string' && artifactType !== '' ? { artifactType } : {}),
    ...(isTextRecord(annotations) ? { annotations } : {}),
  };
}

/** Returns the tag that lists a subject's referrers on registries without the API (OCI "Referrers Tag Schema"). */
function fallbackTag(subject: Digest): Tag {
  return parseTag(`${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}`);
}

function sort(referrers: readonly Referrer[]): Promise<Referrer[]> {
  return sortInTurns(referrers, ({ digest }) => digest);
}
