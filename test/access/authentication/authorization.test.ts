import { describe, expect, it } from 'vitest';
import { parseAuthorization } from '../../../src/access/authentication/authorization.js';
import { shown } from '../../support/shown.js';

const encode = (text: string): string => Buffer.from(text).toString('base64');
const basic = (username: string, password: string): object => ({ scheme: 'basic', username, password });

describe('parseAuthorization', () => {
  it.each<[header: string | undefined, credentials: object]>([
    [undefined, { scheme: 'none' }],
    [`Basic ${encode('ann:secret')}`, basic('ann', 'secret')],
    [`bAsIc   ${encode('ann:secret')}  `, basic('ann', 'secret')],
    [`Basic ${encode('ann:se:cr:et')}`, basic('ann', 'se:cr:et')],
    [`Basic ${encode('zoë:pässword')}`, basic('zoë', 'pässword')],
    ['Basic Og==', basic('', '')],
    ['Basic Og', basic('', '')],
    [`Basic ${encode('ann:')}`, basic('ann', '')],
    [`Basic ${encode(':secret')}`, basic('', 'secret')],
    ['Bearer a.b.c', { scheme: 'bearer', token: 'a.b.c' }],
    ['bearer aat_x', { scheme: 'bearer', token: 'aat_x' }],
  ])('parses %s', (header, credentials) => {
    expect(parseAuthorization(header)).toEqual(credentials);
  });

  it.each(
    [
      '',
      'Basic',
      'Bearer ',
      'Basic ',
      'Basic !!!',
      `Basic ${encode('ann:secret').replace('=', '-')}-`,
      `Basic ${encode('no colon')}`,
      `Basic ${encode('a:b')} ${encode('c:d')}`,
      'Bearer one two',
      'Digest username="ann"',
      'Negotiate abc',
      'secret',
      `Bearer ${'x'.repeat(40_000)}`,
      `Basic ${encode(`ann:${'x'.repeat(40_000)}`)}`,
    ].map((header): [string, string] => [shown(header), header]),
  )('reports %s as unusable, not as anonymous', (_shown, header) => {
    expect(parseAuthorization(header)).toEqual({ scheme: 'unusable' });
  });
});
