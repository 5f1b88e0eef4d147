import { algorithmOf, parseDigest, type Digest } from '../protocol/digest.js';

/** Headers as undici gives them: lower-case names. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The header, or the first of several. */
export function firstOf(headers: AnswerHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** `Content-Length`; `undefined` when absent or malformed. */
export function contentLengthOf(headers: AnswerHeaders): number | undefined {
  const text = firstOf(headers, 'content-length');
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

/** `Content-Type` without its parameters, in lower case. */
export function mediaTypeOf(headers: AnswerHeaders): string | undefined {
  const type = firstOf(headers, 'content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  return type === '' ? undefined : type;
}

/** `Docker-Content-Digest`; `undefined` when absent, or none that we could verify. */
export function claimedDigestOf(headers: AnswerHeaders): Digest | undefined {
  const text = firstOf(headers, 'docker-content-digest');
  if (text === undefined) return undefined;
  try {
    return parseDigest(text);
  } catch {
    return undefined;
  }
}

/** Whether both are digests of one algorithm, and of different content. */
export function differs(asked: Digest | undefined, claimed: Digest | undefined): claimed is Digest {
  if (asked === undefined || claimed === undefined || asked === claimed) return false;
  return algorithmOf(asked) === algorithmOf(claimed);
}

export interface ContentRange {
  /** Absent in the answer to a range that cannot be satisfied (416). */
  readonly span?: { readonly start: number; readonly end: number };
  /** The size of the whole, when the upstream knows it. */
  readonly size?: number;
}

/** `Content-Range` of an answer: a span with the size or an asterisk, or for 416 an asterisk and the size (RFC 9110, 14.4). */
export function contentRangeOf(headers: AnswerHeaders): ContentRange | undefined {
  const pattern = /^bytes (?:([0-9]{1,15})-([0-9]{1,15})|\*)\/([0-9]{1,15}|\*)$/;
  const match = pattern.exec(firstOf(headers, 'content-range') ?? '');
  if (match === null) return undefined;
  const [, start, end, whole] = match;
  const size = whole === undefined || whole === '*' ? {} : { size: Number(whole) };
  return start === undefined ? size : { span: { start: Number(start), end: Number(end) }, ...size };
}

/** `Retry-After` in seconds: a number, or a date (RFC 9110, 10.2.3). */
export function retryAfterOf(headers: AnswerHeaders, now: number): number | undefined {
  const text = firstOf(headers, 'retry-after');
  if (text === undefined) return undefined;
  const seconds = /^[0-9]{1,12}$/.test(text) ? Number(text) : undefined;
  // Some send the moment as seconds since the epoch instead of the time to wait.
  const until = seconds === undefined ? Date.parse(text) : seconds > 1_000_000_000 ? seconds * 1000 : undefined;
  if (until === undefined) return seconds;
  return Number.isNaN(until) ? undefined : Math.max(0, Math.ceil((until - now) / 1000));
}

/** What is left of a rate limit, from 1 (all) to 0, and for how long that is known. */
export interface Budget {
  readonly left: number;
  readonly windowSeconds: number;
}

/** `RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining: 42;w=21600`, as Docker Hub sends them. */
export function budgetOf(headers: AnswerHeaders): Budget | undefined {
  const pattern = /^\s*([0-9]{1,12})(?:\s*;\s*w=([0-9]{1,9}))?/;
  const limit = pattern.exec(firstOf(headers, 'ratelimit-limit') ?? '');
  const remaining = pattern.exec(firstOf(headers, 'ratelimit-remaining') ?? '');
  if (limit === null || remaining === null || Number(limit[1]) === 0) return undefined;
  const windowSeconds = Number(remaining[2] ?? limit[2] ?? 3600);
  return { left: Math.min(1, Number(remaining[1]) / Number(limit[1])), windowSeconds };
}

/** The target of the `Link` that has `rel="next"`, as it was written. */
export function nextLinkOf(headers: AnswerHeaders): string | undefined {
  const links = headers['link'];
  for (const text of typeof links === 'string' ? [links] : (links ?? [])) {
    for (const [, target, params = ''] of text.matchAll(/<([^<>]*)>([^<]*)/g)) {
      if (/;\s*rel\s*=\s*"?[^";,]*\bnext\b/i.test(params)) return target;
    }
  }
  return undefined;
}

/**
 * `Via` of a request that goes on: everyone on its way so far and ourselves, `1.1 <name>` each (RFC 9110, 7.6.3).
 * Names that could not stand in a header are left out.
 */
export function formatVia(trail: readonly string[], instanceId: string): string {
  const names = trail.filter((name) => /^[\w.:[\]!#$%&'*+^`|~-]{1,255}$/.test(name));
  return [...names, instanceId].map((name) => `1.1 ${name}`).join(', ');
}
