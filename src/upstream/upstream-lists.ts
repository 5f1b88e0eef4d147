import type { Referrer } from '../ports/images.js';
import { hexOf, algorithmOf, isDigest, type Digest } from '../protocol/digest.js';
import { isTag, parseTag, type Tag } from '../protocol/names.js';
import { isTextRecord } from '../protocol/schemas.js';
import { linksOf } from '../protocol/upstream/answer-headers.js';
import { parseObject } from './upstream-manifest.js';
import { readWhole } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed, type UpstreamVerdict } from '../protocol/upstream/verdict.js';

const maxPages = 1000;
/** Items of one list. The largest public images have about 100,000 tags. */
const maxItems = 200_000;
const maxListBytes = 16 * 1024 * 1024;
const maxPageBytes = 8 * 1024 * 1024;
const pageLimits = { maxDepth: 64, maxValues: maxItems, maxMembers: 10_000 };

const tooLong = `its list is too long: at most ${maxItems} items in ${maxPages} pages and ${maxListBytes} bytes are read`;

/** Gets one page. @throws UpstreamVerdict when the answer is not 200. */
export type GetPage = (url: URL) => Promise<Answer>;

/**
 * Returns the items of all pages, following `Link` within the origin of the first page.
 * @param read returns the items of one page's JSON; `undefined` when it is not a list of this kind.
 * @throws UpstreamVerdict failed when there are more than 1000 pages, 200,000 items or 16 MiB. A list is never truncated
 * silently.
 */
export async function readPages<T>(
  first: URL,
  getPage: GetPage,
  read: (page: Readonly<Record<string, unknown>>) => readonly T[] | undefined,
  timeoutMs: number,
): Promise<T[]> {
  const items: T[] = [];
  const visited = new Set<string>();
  let leftBytes = maxListBytes;
  for (let url: URL | undefined = first; url !== undefined;) {
    visited.add(url.href);
    const answer = await getPage(url);
    const maxBytes = Math.min(leftBytes, maxPageBytes);
    const bytes = await readWhole(answer.body, { maxBytes, timeoutMs });
    leftBytes -= bytes.length;
    const page = parseObject(bytes, pageLimits);
    const pageItems = page === undefined ? undefined : read(page);
    if (pageItems === undefined) throw unreadable('its list is malformed');
    for (const item of pageItems) items.push(item);
    url = nextPage(answer, first);
    if (url !== undefined && visited.has(url.href)) throw unreadable('the pages of its list form a loop');
    const isLast = url === undefined;
    if (items.length > maxItems || (!isLast && (visited.size >= maxPages || leftBytes <= 0))) throw unreadable(tooLong);
  }
  return items;
}

function unreadable(reason: string): UpstreamVerdict {
  return failed(reason, { isLasting: true });
}

function nextPage({ headers, hop: { url: from } }: Answer, first: URL): URL | undefined {
  const link = linksOf(headers).find(({ isNext }) => isNext);
  if (link === undefined) return undefined;
  if (!URL.canParse(link.target, from.href)) throw unreadable('the URL of the next page of its list is not valid');
  const url = new URL(link.target, from);
  // The request for a page carries our credentials.
  if (url.origin !== first.origin) throw unreadable(`the next page of its list is at another host, ${url.host}`);
  return url;
}

/** Returns `tags` of a page without invalid tags. Some servers send `null` for an empty list. */
export function readTags(page: Readonly<Record<string, unknown>>): readonly Tag[] | undefined {
  const tags = page['tags'];
  if (tags === null || (tags === undefined && 'name' in page)) return [];
  if (!Array.isArray(tags)) return undefined;
  return tags.filter((tag): tag is Tag => typeof tag === 'string' && isTag(tag));
}

/** Returns the valid descriptors of an index. Skips those whose digest algorithm is not supported. */
export function readReferrers(page: Readonly<Record<string, unknown>>): readonly Referrer[] | undefined {
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
export function fallbackTag(subject: Digest): Tag {
  return parseTag(`${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}`);
}
