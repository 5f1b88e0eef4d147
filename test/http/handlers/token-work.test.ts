import { describe, expect, it } from 'vitest';
import { RuledAccess } from '../../../src/access/ruled-access.js';
import { RuleSet } from '../../../src/access/rules/rules.js';
import { createGetToken } from '../../../src/http/handlers/distribution/token.js';
import { anonymous } from '../../../src/util/anonymous.js';
import type { RepositoryDirectory } from '../../../src/ports/repository.js';
import type { TokenGrant } from '../../../src/protocol/tokens/token-scope.js';
import type { AccessRule } from '../../../src/protocol/settings/access-config.js';

/** Answers an anonymous token request for the scopes, and counts how often the names of rules are matched. */
async function request(scopes: readonly string[], count: number): Promise<{ matches: number; scope: string }> {
  let matches = 0;
  const rules = Array.from({ length: count }, (_, i): AccessRule => {
    const allow = [(['pull', 'push', 'delete'] as const)[i % 3] ?? 'pull'];
    return {
      anonymous: true,
      allow,
      get names() {
        matches++;
        // The last three allow everything.
        return i < count - 3 ? [`other-${i}/**`] : ['local/**'];
      },
    };
  });
  const directory = {
    resolveAll: (name: string) => [{ repository: undefined, at: { repository: 'local', image: name.slice(6) } }],
  } as unknown as RepositoryDirectory;
  let granted = '';
  const access = new RuledAccess({
    rules: () => Promise.resolve(new RuleSet(rules)),
    challenge: { scheme: 'bearer', service: 'test', prefix: '' },
    groupsOf: () => [],
    needsGrants: false,
    grantsBy: 'wire name',
    tokens: {
      issue: (_principal: unknown, grants: readonly TokenGrant[]) => {
        granted = grants.map(({ name, actions }) => `${name}:${actions.join(',')}`).join(' ');
        return Promise.resolve({ token: 'x', expiresInSeconds: 60, issuedAt: 0 });
      },
    },
  } as unknown as ConstructorParameters<typeof RuledAccess>[0]);
  const query = new URLSearchParams(scopes.map((scope): [string, string] => ['scope', scope]));
  const caller = { principal: anonymous };
  const exchange = { query, caller, client: { address: '192.0.2.1' } };
  await createGetToken(() => ({ access, directory, rates: { admitPrincipal: () => undefined } }))(exchange as never);
  return { matches, scope: granted };
}

describe('a token request', () => {
  it('matches each rule once per scope, however many actions the scope has', async () => {
    const { matches, scope } = await request(['repository:local/app:pull,push,delete'], 99);
    expect(scope).toBe('local/app:pull,push,delete');
    // One more match decides whether anonymous users may get a token at all.
    expect(matches).toBe(99 + 1);
  });

  it('matches rules for at most 10 of 600 scopes, in one parameter or in many', async () => {
    const many = Array.from({ length: 600 }, (_, i) => `repository:local/app-${i}:pull,push,delete`);
    for (const scopes of [many, [many.join(' ')]]) {
      const { matches, scope } = await request(scopes, 99);
      expect(scope.split(' ')).toHaveLength(10);
      expect(matches).toBe(10 * 99 + 1);
    }
  });

  it('counts scopes of the same image as one', async () => {
    const scopes = ['pull', 'push', 'delete'].map((action) => `repository:local/app:${action}`);
    expect((await request(scopes, 3)).scope).toBe('local/app:pull,push,delete');
  });
});
