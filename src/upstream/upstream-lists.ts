import type { Referrer } from '../ports.js';
import { hexOf, algorithmOf, isDigest, type Digest } from '../protocol/digest.js';
import { isTag, parseTag, type Tag } from '../protocol/names.js';
import { isTextRecord } from '../protocol/schemas.js';
import { nextLinkOf } from './upstream-headers.js';
import { parseObject } from './upstream-manifest.js';
import { readWhole, type UpstreamAnswer } from './upstream-transport.js';
import { failed } from './upstream-verdict.js';

const pagesMax = 1000;
const itemsMax = 1_000_000;
const pageMaxBytes = 16 * 1024 * 1024;
const pageLimits = { maxDepth: 64, maxValues: itemsMax };

/** Gets one page; throws what the upstream's answer means when it is not 200. */
export type GetPage = (url: URL) => Promise<UpstreamAnswer>;

/**
 * The items of all pages, following `Link` within the origin of the first.
 * @param read the items of one page's JSON; `undefined` when it is no such list.
 * @throws UpstreamVerdict failed when there are more than 1000 pages or a million items: no list is cut short silently.
 */
export async function readPages<T>(
  first: URL,
  getPage: GetPage,
  read: (page: Readonly<Record<string, unknown>>) => readonly T[] | undefined,
  timeoutMs: number,
): Promise<T[]> {
  const items: T[] = [];
  const seen = new Set<string>();
  for (let url: URL | undefined = first; url !== undefined;) {
    seen.add(url.href);
    const answer = await getPage(url);
    const page = parseObject(await readWhole(answer, { maxBytes: pageMaxBytes, timeoutMs }), pageLimits);
    const more = page === undefined ? undefined : read(page);
    if (more === undefined) throw failed('its list is none: the answer has another shape');
    for (const item of more) items.push(item);
    url = nextPage(nextLinkOf(answer.headers), answer.url, first);
    if (url !== undefined && seen.has(url.href)) throw failed('its list goes in circles');
    if (items.length > itemsMax || (url !== undefined && seen.size >= pagesMax)) throw failed('its list is too long');
  }
  return items;
}

function nextPage(link: string | undefined, from: URL, first: URL): URL | undefined {
  if (link === undefined) return undefined;
  if (!URL.canParse(link, from.href)) throw failed('its list goes on at no URL');
  const url = new URL(link, from);
  // A page carries our credentials.
  if (url.origin !== first.origin) throw failed(`its list goes on at another host, ${url.host}`);
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
