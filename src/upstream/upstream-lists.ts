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
/** Of one list. The largest public images have some 100,000 tags. */
const maxItems = 200_000;
const maxListBytes = 16 * 1024 * 1024;
const maxPageBytes = 8 * 1024 * 1024;
const pageLimits = { maxDepth: 64, maxValues: maxItems, maxMembers: 10_000 };

const tooLong = `its list is too long: at most ${maxItems} items in ${maxPages} pages and ${maxListBytes} bytes are read`;

/** Gets one page; throws what the upstream's answer means when it is not 200. */
export type GetPage = (url: URL) => Promise<Answer>;

/**
 * The items of all pages, following `Link` within the origin of the first.
 * @param read the items of one page's JSON; `undefined` when it is no such list.
 * @throws UpstreamVerdict failed when there are more than 1000 pages, 200,000 items or 16 MiB: no list is cut short silently,
 * and nothing is read beyond what can be kept.
 */
export async function readPages<T>(
  first: URL,
  getPage: GetPage,
  read: (page: Readonly<Record<string, unknown>>) => readonly T[] | undefined,
  timeoutMs: number,
): Promise<T[]> {
  const items: T[] = [];
  const seen = new Set<string>();
  let leftBytes = maxListBytes;
  for (let url: URL | undefined = first; url !== undefined;) {
    seen.add(url.href);
    const answer = await getPage(url);
    const maxBytes = Math.min(leftBytes, maxPageBytes);
    const bytes = await readWhole(answer.body, { maxBytes, timeoutMs });
    leftBytes -= bytes.length;
    const page = parseObject(bytes, pageLimits);
    const more = page === undefined ? undefined : read(page);
    if (more === undefined) throw unreadable('its list is none: the answer has another shape');
    for (const item of more) items.push(item);
    url = nextPage(answer, first);
    if (url !== undefined && seen.has(url.href)) throw unreadable('its list goes in circles');
    const isOver = url === undefined;
    if (items.length > maxItems || (!isOver && (seen.size >= maxPages || leftBytes <= 0))) throw unreadable(tooLong);
  }
  return items;
}

function unreadable(reason: string): UpstreamVerdict {
  return failed(reason, { isLasting: true });
}

function nextPage({ headers, hop: { url: from } }: Answer, first: URL): URL | undefined {
  const link = linksOf(headers).find(({ isNext }) => isNext);
  if (link === undefined) return undefined;
  if (!URL.canParse(link.target, from.href)) throw unreadable('the next page of its list has no valid URL');
  const url = new URL(link.target, from);
  // The request for a page carries our credentials.
  if (url.origin !== first.origin) throw unreadable(`the next page of its list is at another host, ${url.host}`);
  return url;
}

/** `tags` of a page; what is no tag by the grammar is left out. `null` is what some servers say for none. */
export function readTags(page: Readonly<Record<string, unknown>>): readonly Tag[] | undefined {
  const tags = page['tags'];
  if (tags === null || (tags === undefined && 'name' in page)) return [];
  if (!Array.isArray(tags)) return undefined;
  return tags.filter((tag): tag is Tag => typeof tag === 'string' && isTag(tag));
}

/** The descriptors of an index; those whose digest we could not verify are left out. */
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

/** The tag under which clients keep the referrers of a subject where there is no API ("Referrers Tag Schema"). */
export function fallbackTag(subject: Digest): Tag {
  return parseTag(`${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}`);
}
