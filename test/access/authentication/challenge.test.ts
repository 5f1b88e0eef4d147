import { expect, it } from 'vitest';
import { formatChallenge, type ChallengeOptions } from '../../../src/access/authentication/challenge.js';
import type { AccessQuestion } from '../../../src/ports/access/access.js';
import type { TokenGrant } from '../../../src/protocol/tokens/token-scope.js';

const bearer: ChallengeOptions = { scheme: 'bearer', service: 'artifactapi', prefix: '' };
const basic = 'Basic realm="artifactapi", charset="UTF-8"';
const pull: TokenGrant = { type: 'repository', name: 'local/app', actions: ['pull'] };
const push: TokenGrant = { type: 'repository', name: 'local/new', actions: ['pull', 'push'] };

function ask(
  access: AccessQuestion['access'],
  requiredGrants: readonly TokenGrant[] = [],
  origin?: string,
): AccessQuestion {
  return { access, requiredGrants, client: { address: '127.0.0.1', origin } };
}

it.each<[string, ChallengeOptions, AccessQuestion, Parameters<typeof formatChallenge>[2], string]>([
  ['Basic access control', { scheme: 'basic' }, ask('pull', [pull], 'https://us.example'), undefined, basic],
  ['the token endpoint', bearer, ask('token', [], 'https://us.example'), undefined, basic],
  [
    'a ping',
    bearer,
    ask('ping', [], 'https://us.example:5000'),
    undefined,
    'Bearer realm="https://us.example:5000/v2/token",service="artifactapi"',
  ],
  [
    'a request that needs two scopes, under a prefix',
    { ...bearer, prefix: '/registry' },
    ask('push', [push, pull], 'http://us.example'),
    undefined,
    'Bearer realm="http://us.example/registry/v2/token",service="artifactapi",scope="repository:local/new:pull,push repository:local/app:pull"',
  ],
  [
    'an invalid token',
    bearer,
    ask('ping', [], 'http://us.example'),
    'invalid_token',
    'Bearer realm="http://us.example/v2/token",service="artifactapi",error="invalid_token"',
  ],
  [
    'a token with too few grants',
    bearer,
    ask('pull', [pull], 'http://us.example'),
    'insufficient_scope',
    'Bearer realm="http://us.example/v2/token",service="artifactapi",scope="repository:local/app:pull",error="insufficient_scope"',
  ],
  ['a request without a usable Host', bearer, ask('ping'), undefined, 'Bearer realm="/v2/token",service="artifactapi"'],
  [
    'an external token server',
    { ...bearer, realm: 'https://auth.example/token?a=b', service: 'registry.example' },
    ask('ping', [], 'http://us.example'),
    undefined,
    'Bearer realm="https://auth.example/token?a=b",service="registry.example"',
  ],
])('formatChallenge returns the challenge for %s', (_what, options, question, problem, expected) => {
  expect(formatChallenge(options, question, problem)).toBe(expected);
});
