import parseRangeHeader from 'range-parser';
import { RegistryError } from './errors.js';

interface Span {
  readonly start: number;
  readonly end: number;
}

const contentRangePattern = /^([0-9]{1,15})-([0-9]{1,15})$/;

/**
 * `Content-Range` of an upload chunk: `<start>-<end>`, inclusive, without a unit or a total (end-5).
 * @throws RegistryError RANGE_INVALID when malformed.
 */
export function parseContentRange(text: string): Span {
  const match = contentRangePattern.exec(text);
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && end >= start) return { start, end };
  throw new RegistryError('RANGE_INVALID', {
    message: 'Content-Range of a chunk is <first byte>-<last byte>, without a unit or a total',
    detail: { contentRange: text.slice(0, 100) },
  });
}

/**
 * `Range` of an upload's answer: what arrived of the whole blob.
 * Docker's engine fails on `0--1`, so the 202 of an empty session says `0-0`; a client that resumes adds 1 to the end it
 * is told, so status and 416 answers of an empty session say `0--1`.
 */
export function formatProgress(size: number, answer: '202' | 'status'): string {
  return size === 0 && answer === '202' ? '0-0' : `0-${size - 1}`;
}

/**
 * `Range` of a blob GET (RFC 9110, 14.2). `undefined`: serve the whole, as for an unknown unit, a malformed header, and
 * several ranges, which RFC 9110 lets a server answer with the whole.
 * @throws RegistryError RANGE_INVALID with an unsatisfied `Content-Range` when no byte of the content is in the range.
 */
export function parseRange(header: string | undefined, size: number): Span | undefined {
  // Of an empty content every range is unsatisfiable; clients that always send `bytes=0-` are given it all the same.
  if (header === undefined || header.length > 1000 || header.includes(',') || size === 0) return undefined;
  // The parser takes a suffix that is longer than the content for unsatisfiable; it is the whole (RFC 9110, 14.1.2).
  const suffix = /^bytes=-([0-9]+)$/.exec(header);
  if (suffix !== null && Number(suffix[1]) >= size) return { start: 0, end: size - 1 };
  const ranges = parseRangeHeader(size, header);
  if (ranges === -2 || (ranges !== -1 && ranges.type !== 'bytes')) return undefined;
  if (ranges !== -1) return ranges[0];
  if (!/^\s*bytes\s*=/i.test(header)) return undefined;
  throw new RegistryError('RANGE_INVALID', { headers: { 'Content-Range': `bytes */${size}` }, detail: { size } });
}

/** Whether `If-None-Match` names this entity tag: quoted, weak or bare, in a list, or `*` (RFC 9110, 13.1.2). */
export function matchesEntityTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((item) => {
    const text = item.trim();
    return text === '*' || text.replace(/^W\//, '').replace(/^"(.*)"$/, '$1') === tag;
  });
}

/** `Link: <url>; rel="next"`. Clients cut at the first ";": the URL holds none, since all values are percent-encoded. */
export function formatNextLink(path: string, query: URLSearchParams): string {
  return `<${path}?${query.toString().replaceAll('+', '%20')}>; rel="next"`;
}

/**
 * `n` of a list: at most `max`, which is also what an absent one means. More is clamped, with a Link to the rest.
 * @throws RegistryError PAGINATION_NUMBER_INVALID.
 */
export function parsePageSize(text: string | null, max: number): number {
  if (text === null) return max;
  if (/^[0-9]{1,100}$/.test(text)) return Math.min(Number(text), max);
  throw new RegistryError('PAGINATION_NUMBER_INVALID', { detail: { n: text.slice(0, 100) } });
}
