import parseRangeHeader from 'range-parser';
import { RegistryError } from './errors.js';

interface Span {
  readonly start: number;
  readonly end: number;
}

const contentRangePattern = /^([0-9]{1,15})-([0-9]{1,15})$/;

/**
 * Parses the `Content-Range` of an upload chunk: `<start>-<end>`, inclusive, without a unit or total (end-5).
 * @throws RegistryError RANGE_INVALID when malformed.
 */
export function parseContentRange(text: string): Span {
  const match = contentRangePattern.exec(text);
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && end >= start) return { start, end };
  throw new RegistryError('RANGE_INVALID', {
    message: 'invalid Content-Range of a chunk: expected <first byte>-<last byte>, without a unit or total',
    detail: { contentRange: text.slice(0, 100) },
  });
}

/**
 * Formats the `Range` header that reports the progress of an upload. For an empty session, a 202 has `0-0`, because Docker
 * fails on `0--1`. Status and 416 responses have `0--1`, because clients resume at the end plus 1.
 */
export function formatUploadRange(size: number, answer: '202' | 'status'): string {
  return size === 0 && answer === '202' ? '0-0' : `0-${size - 1}`;
}

/**
 * Parses the `Range` of a blob GET (RFC 9110, 14.2). Returns `undefined` to serve the whole blob: for an unknown unit, a
 * malformed header or several ranges, which a server may ignore.
 * @throws RegistryError RANGE_INVALID with an unsatisfied `Content-Range` when no byte of the content is in the range.
 */
export function parseRange(header: string | undefined, size: number): Span | undefined {
  // No range of empty content is satisfiable, but some clients always send `bytes=0-`: serve it anyway.
  if (header === undefined || header.length > 1000 || header.includes(',') || size === 0) return undefined;
  // A suffix longer than the content means all of it (RFC 9110, 14.1.2); the parser calls it unsatisfiable.
  const suffix = /^bytes=-([0-9]+)$/.exec(header);
  if (suffix !== null && Number(suffix[1]) >= size) return { start: 0, end: size - 1 };
  const ranges = parseRangeHeader(size, header);
  if (ranges === -2 || (ranges !== -1 && ranges.type !== 'bytes')) return undefined;
  if (ranges !== -1) return ranges[0];
  if (!/^\s*bytes\s*=/i.test(header)) return undefined;
  throw new RegistryError('RANGE_INVALID', { headers: { 'Content-Range': `bytes */${size}` }, detail: { size } });
}

/** Returns whether `If-None-Match` matches an entity tag: quoted, weak or bare, in a list, or `*` (RFC 9110, 13.1.2). */
export function matchesEntityTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((item) => {
    const text = item.trim();
    return text === '*' || text.replace(/^W\//, '').replace(/^"(.*)"$/, '$1') === tag;
  });
}

/** Formats `Link: <url>; rel="next"`. Clients cut the header at the first ";", so all values are percent-encoded. */
export function formatNextLink(path: string, query: URLSearchParams): string {
  return `<${path}?${query.toString().replaceAll('+', '%20')}>; rel="next"`;
}

/**
 * Parses the page size `n`. Returns `max` if it is absent or larger.
 * @throws RegistryError PAGINATION_NUMBER_INVALID.
 */
export function parsePageSize(text: string | null, max: number): number {
  if (text === null) return max;
  if (/^[0-9]{1,100}$/.test(text)) return Math.min(Number(text), max);
  throw new RegistryError('PAGINATION_NUMBER_INVALID', { detail: { n: text.slice(0, 100) } });
}
