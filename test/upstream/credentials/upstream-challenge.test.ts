import { describe, expect, it } from 'vitest';
import { chooseChallenge, parseChallenges } from '../../../src/upstream/credentials/upstream-challenge.js';
import { Watchdog } from '../../fuzz/watchdog.js';

const bearer = (realm: string, service?: string, scope?: string) => ({ scheme: 'bearer', realm, service, scope });

describe('chooseChallenge', () => {
  it.each([
    ['nothing', undefined, undefined],
    ['an empty header', '', undefined],
    ['Basic', 'Basic realm="x"', { scheme: 'basic' }],
    ['Basic alone', 'Basic', { scheme: 'basic' }],
    [
      'what registries send',
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:team/app:pull,push"',
      bearer('https://auth.example/token', 'registry.example', 'repository:team/app:pull,push'),
    ],
    ['names in any case', 'BEARER REALM="r", Service="s"', bearer('r', 's')],
    ['spaces around = and commas', 'Bearer realm = "r" ,  service = "s" , scope="a b"', bearer('r', 's', 'a b')],
    ['values without quotes', 'Bearer realm=https://a/b,service=s', bearer('https://a/b', 's')],
    ['escaped quotes', String.raw`Bearer realm="a\"b\\c",service="s"`, bearer('a"b\\c', 's')],
    ['commas and = in quotes', 'Bearer realm="a,b=c",service="Basic x"', bearer('a,b=c', 'Basic x')],
    ['unknown parameters', 'Bearer error="invalid_token",realm="r"', bearer('r')],
    ['two in one header, Basic first', 'Basic realm="x", Bearer realm="r",service="s"', bearer('r', 's')],
    ['two in one header, Bearer first', 'Bearer realm="r",service="s", Basic realm="x"', bearer('r', 's')],
    ['two headers', ['Basic realm="x"', 'Bearer realm="r"'], bearer('r')],
    ['the first of two Bearers', ['Bearer realm="1"', 'Bearer realm="2"'], bearer('1')],
    ['Bearer without a realm, then Basic', 'Bearer service="s", Basic realm="x"', { scheme: 'basic' }],
    ['a token68 before it', 'Negotiate YWJj==, Basic realm="x"', { scheme: 'basic' }],
    ['a token68 with a slash before it', 'Negotiate oYH/a+b==, Bearer realm="r"', bearer('r')],
    ['an unknown scheme', 'Digest realm="r", nonce="n"', undefined],
    ['a quote that never ends', 'Bearer realm="r', undefined],
    ['a challenge that is absurdly long', `Bearer realm="r",x="${'y'.repeat(20_000)}"`, undefined],
  ])('handles %s', (_what, header, expected) => {
    expect(chooseChallenge(header)).toEqual(expected);
  });

  it('parses hostile headers of 16,000 characters without blocking the process', async () => {
    const { problems } = await new Watchdog().watch(() => {
      for (const unit of ['a', '\\"', ' ,', '=', 'a=', 'a="'])
        parseChallenges(`Bearer realm="${unit.repeat(16_000 / unit.length)}`);
      return Promise.resolve();
    });
    expect(problems).toEqual([]);
  });
});
