import { algorithmOf, parseDigest, type Digest } from '../digest.js';

/** The headers of an answer, with lower-case names. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Returns the header, or the first of several. */
export function firstOf(headers: AnswerHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Returns `Content-Length`; `undefined` when it is absent or malformed. */
export function contentLengthOf(headers: AnswerHeaders): number | undefined {
  const text = firstOf(headers, 'content-length');
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Returns `Content-Type` without parameters, in lower case. */
export function mediaTypeOf(headers: AnswerHeaders): string | undefined {
  const type = firstOf(headers, 'content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  return type === '' ? undefined : type;
}

/** Returns `Docker-Content-Digest`; `undefined` when it is absent or of an algorithm that we cannot verify. */
export function claimedDigestOf(headers: AnswerHeaders): Digest | undefined {
  const text = firstOf(headers, 'docker-content-digest');
  if (text === undefined) return undefined;
  try {
    return parseDigest(text);
  } catch {
    return undefined;
  }
}

/** Returns whether both are digests of the same algorithm but of different content. */
export function differs(asked: Digest | undefined, claimed: Digest | undefined): claimed is Digest {
  if (asked === undefined || claimed === undefined || asked === claimed) return false;
  return algorithmOf(asked) === algorithmOf(claimed);
}

/** A parsed `Content-Range`. */
export interface ContentRange {
  /** Absent in the answer to an unsatisfiable range (416). */
  readonly span?: { readonly start: number; readonly end: number };
  /** The size of the whole blob; absent when the upstream does not know it. */
  readonly size?: number;
}

/** Parses `Content-Range`: a span and a size or `*`, or for 416 `*` and a size (RFC 9110, 14.4). */
export function contentRangeOf(headers: AnswerHeaders): ContentRange | undefined {
  const pattern = /^bytes (?:([0-9]{1,15})-([0-9]{1,15})|\*)\/([0-9]{1,15}|\*)$/;
  const match = pattern.exec(firstOf(headers, 'content-range') ?? '');
  if (match === null) return undefined;
  const [, start, end, whole] = match;
  const size = whole === undefined || whole === '*' ? {} : { size: Number(whole) };
  return start === undefined ? size : { span: { start: Number(start), end: Number(end) }, ...size };
}

const maxRetryAfterSeconds = 24 * 3600;

/** Returns `Retry-After` in seconds from now, at most a day. It may be a number or a date (RFC 9110, 10.2.3). */
export function retryAfterOf(headers: AnswerHeaders, now: number): number | undefined {
  const text = firstOf(headers, 'retry-after');
  if (text === undefined) return undefined;
  const seconds = /^[0-9]{1,12}$/.test(text) ? Number(text) : undefined;
  // Some servers send seconds since the epoch instead of a duration.
  const until = seconds === undefined ? Date.parse(text) : seconds > 1_000_000_000 ? seconds * 1000 : undefined;
  const left = until === undefined ? seconds : Math.ceil((until - now) / 1000);
  return left === undefined || Number.isNaN(left) ? undefined : Math.min(Math.max(0, left), maxRetryAfterSeconds);
}

/** The rest of a rate limit, from 1 (all) to 0, and the length of its window. */
export interface Budget {
  readonly left: number;
  readonly windowSeconds: number;
}

/** Parses `RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining: 42;w=21600`, as Docker Hub sends them. */
export function budgetOf(headers: AnswerHeaders): Budget | undefined {
  const pattern = /^\s*([0-9]{1,12})(?:\s*;\s*w=([0-9]{1,9}))?/;
  const text = firstOf(headers, 'ratelimit-limit');
  if (text === undefined) return undefined;
  const limit = pattern.exec(text);
  const remaining = pattern.exec(firstOf(headers, 'ratelimit-remaining') ?? '');
  if (limit === null || remaining === null || Number(limit[1]) === 0) return undefined;
  const windowSeconds = Number(remaining[2] ?? limit[2] ?? 3600);
  return { left: Math.min(1, Number(remaining[1]) / Number(limit[1])), windowSeconds };
}

/** One link of a `Link` header (RFC 8288). */
export interface HeaderLink {
  /** As written: may be relative, or not a URL at all. */
  readonly target: string;
  /** As written, with the leading semicolon. */
  readonly params: string;
  /** Whether its relations include `next`. */
  readonly isNext: boolean;
}

/**
 * Reads the links of a `Link` header and skips malformed ones. Not http-link-header: it throws on malformed headers, and
 * writes `rel=next` without the quotes that some clients need.
 */
export function linksOf(headers: AnswerHeaders): readonly HeaderLink[] {
  const texts = [headers['link'] ?? []].flat();
  return texts
    .flatMap((text) => [...text.matchAll(/<([^<>]*)>([^<]*)/g)])
    .map(([, target = '', params = '']) => ({
      target,
      params: withoutSeparators(params),
      isNext: /;\s*rel\s*=\s*"?[^";,]*\bnext\b/i.test(params),
    }));
}

/** Cuts the separators before the next link. Not by a pattern, which would take quadratic time on a hostile header. */
function withoutSeparators(text: string): string {
  let end = text.length;
  while (end > 0 && ' \t,'.includes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/**
 * Formats `Via`: the registries that a request has passed and our own name, `1.1 <name>` each (RFC 9110, 7.6.3). Names that
 * are not valid in a header are left out.
 */
export function formatVia(trail: readonly string[], instanceId: string): string {
  const names = trail.filter((name) => /^[\w.:[\]!#$%&'*+^`|~-]{1,255}$/.test(name));
  return [...names, instanceId].map((name) => `1.1 ${name}`).join(', ');
}
