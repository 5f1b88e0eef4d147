import { describe, expect, it } from 'vitest';
import {
  budgetOf,
  contentLengthOf,
  contentRangeOf,
  formatVia,
  linksOf,
  mediaTypeOf,
  retryAfterOf,
} from '../../../src/protocol/upstream/answer-headers.js';

describe("an upstream's headers", () => {
  it.each([
    ['bytes 5-9/10', { span: { start: 5, end: 9 }, size: 10 }],
    ['bytes 5-9/*', { span: { start: 5, end: 9 } }],
    ['bytes */10', { size: 10 }],
    ['5-9', undefined],
    ['items 5-9/10', undefined],
    ['bytes 5-/10', undefined],
    [undefined, undefined],
  ])('include Content-Range %s', (text, expected) => {
    expect(contentRangeOf({ 'content-range': text })).toEqual(expected);
  });

  it.each([
    ['10', 10],
    ['0', 0],
    ['-1', undefined],
    ['1e3', undefined],
    ['9'.repeat(16), undefined],
  ])('include Content-Length %s', (text, expected) => {
    expect(contentLengthOf({ 'content-length': text })).toBe(expected);
  });

  it.each([
    ['Application/JSON; charset=utf-8', 'application/json'],
    ['', undefined],
    [undefined, undefined],
  ])('include Content-Type %s', (text, expected) => {
    expect(mediaTypeOf({ 'content-type': text })).toBe(expected);
  });

  const now = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    ['30', 30],
    ['0', 0],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60],
    ['Thu, 01 Jan 2020 00:00:00 GMT', 0],
    [String(now / 1000 + 90), 90],
    ['soon', undefined],
    ['999999999', 86_400],
    ['Thu, 01 Jan 2099 00:00:00 GMT', 86_400],
    [undefined, undefined],
  ])('include Retry-After %s', (text, expected) => {
    expect(retryAfterOf({ 'retry-after': text }, now)).toBe(expected);
  });

  it.each([
    ['100;w=21600', '25;w=21600', { left: 0.25, windowSeconds: 21600 }],
    ['100', '100', { left: 1, windowSeconds: 3600 }],
    ['100;w=60', '500', { left: 1, windowSeconds: 60 }],
    ['100;w=60', '0', { left: 0, windowSeconds: 60 }],
    ['0;w=60', '0', undefined],
    ['100;w=60', undefined, undefined],
    ['lots', 'many', undefined],
  ])('include RateLimit-Limit %s and RateLimit-Remaining %s', (limit, remaining, expected) => {
    expect(budgetOf({ 'ratelimit-limit': limit, 'ratelimit-remaining': remaining })).toEqual(expected);
  });

  it.each([
    ['</v2/a/tags/list?last=x&n=1>; rel="next"', '/v2/a/tags/list?last=x&n=1'],
    ['<https://h/v2/a>; rel=next', 'https://h/v2/a'],
    ['</p>; rel="prev", </n>; title="x"; rel="last next"', '/n'],
    [['</p>; rel="prev"', '</n>; rel="next"'], '/n'],
    ['</n>; rel="nextish"', undefined],
    ['/n; rel="next"', undefined],
    [undefined, undefined],
  ])('include Link %s', (link, expected) => {
    expect(linksOf({ link }).find(({ isNext }) => isNext)?.target).toBe(expected);
  });

  it.each([
    ['</a>; rel="next" , \t</b>; title="x",', ['; rel="next"', '; title="x"']],
    ['</a> , ', ['']],
  ])('include Link %s, whose parameters have no separators of links', (link, expected) => {
    expect(linksOf({ link }).map(({ params }) => params)).toEqual(expected);
  });

  it.each([
    [[], '1.1 me'],
    [['a', 'b:5000'], '1.1 a, 1.1 b:5000, 1.1 me'],
    [['a\r\nx: y', 'b c', ''], '1.1 me'],
  ])('get a Via after the trail %j', (trail, expected) => {
    expect(formatVia(trail, 'me')).toBe(expected);
  });
});
