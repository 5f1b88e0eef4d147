import { describe, expect, it } from 'vitest';
import { followRedirect, readLocation, type Hop } from '../../../src/protocol/upstream/redirects.js';
import { UpstreamVerdict } from '../../../src/protocol/upstream/verdict.js';

const from = new URL('https://registry.example/v2/library/alpine/tags/list');

describe('readLocation', () => {
  it.each([
    ['/a//b?x=%2F', 'https://registry.example/a//b?x=%2F'],
    ['https://user:secret@cdn.example/a#part', 'https://cdn.example/a'],
    ['//cdn.example/a', 'https://cdn.example/a'],
    ['http://registry.example/a', 'https://registry.example/a'],
    ['http://registry.example//evil.example/a', 'https://registry.example//evil.example/a'],
  ])('resolves %s to %s', (location, url) => {
    expect(readLocation({ location }, from).href).toBe(url);
  });

  it.each([[undefined], ['http://cdn.example/a'], ['ftp://cdn.example/a'], ['file:///etc/passwd'], ['http://[']])(
    'refuses %s',
    (location) => {
      expect(() => readLocation(location === undefined ? {} : { location }, from)).toThrow(UpstreamVerdict);
    },
  );
});

describe('followRedirect', () => {
  const headers = { via: '1.1 me' };
  const first: Hop = { method: 'HEAD', url: from, headers, credentials: { authorization: 'ours' }, elsewhere: false };
  const back = new URL('/back', from);

  it('keeps the method and the credentials within the origin', () => {
    expect(followRedirect(first, back)).toEqual({ ...first, url: back });
  });

  it.each(['https://cdn.example/a', 'https://registry.example:8443/a'])(
    'asks %s by GET, without credentials, and the first origin after it too',
    (target) => {
      const there = followRedirect(first, new URL(target));
      expect(there).toEqual({ method: 'GET', url: new URL(target), headers, credentials: {}, elsewhere: true });
      expect(followRedirect(there, back)).toEqual({ ...there, url: back });
    },
  );
});
