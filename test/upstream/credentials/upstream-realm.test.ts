import { describe, expect, it } from 'vitest';
import { checkRealm } from '../../../src/upstream/credentials/upstream-realm.js';

describe('a realm', () => {
  it.each([
    // upstream, realm, anonymous, with a password
    ['https://registry-1.docker.io', 'https://auth.docker.io/token', true, true],
    ['https://registry.example.com', 'https://registry.example.com:8443/token', true, true],
    ['https://registry.example.com', 'https://EXAMPLE.com/token', true, true],
    ['https://registry.example.com', 'https://example.com.evil.net/token', true, false],
    ['https://registry.example.com', 'https://evilexample.com/token', true, false],
    ['https://registry.example.com', 'http://registry.example.com/token', true, true],
    ['https://registry.example.com', 'http://registry.example.com:8080/token', false, false],
    ['http://registry.example.com', 'http://auth.example.com/token', true, true],
    ['http://registry.example.com', 'https://auth.example.com/token', true, true],
    ['https://registry.firm.co.uk', 'https://auth.firm.co.uk/token', true, true],
    ['https://registry.firm.co.uk', 'https://thief.co.uk/token', true, false],
    ['https://acme.jfrog.io', 'https://evil.jfrog.io/token', true, false],
    ['https://acme.jfrog.io', 'https://acme.jfrog.io/v2/token', true, true],
    ['https://acme.jfrog.io', 'https://jfrog.io/token', true, false],
    ['https://acme.azurecr.io', 'https://evil.azurecr.io/oauth2/token', true, false],
    ['https://1.dkr.ecr.us-east-1.amazonaws.com', 'https://evil.execute-api.us-east-1.amazonaws.com/', true, false],
    ['https://1.dkr.ecr.us-east-1.amazonaws.com', 'https://search-evil.us-east-1.es.amazonaws.com/', true, false],
    ['https://acme.github.io', 'https://evil.github.io/token', true, false],
    ['https://acme.gitlab.io', 'https://evil.gitlab.io/token', true, false],
    ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth', true, true],
    ['https://ghcr.io', 'https://ghcr.io/token', true, true],
    ['https://quay.io', 'https://cdn01.quay.io/token', true, true],
    ['https://acme.s3.amazonaws.com', 'https://evil.s3.amazonaws.com/token', true, false],
    ['https://acme.blob.core.windows.net', 'https://evil.blob.core.windows.net/', true, false],
    ['https://registry.corp.internal', 'https://auth.corp.internal/token', true, true],
    ['https://co.uk', 'https://uk/token', true, false],
    ['https://registry', 'https://registry/token', true, true],
    ['https://registry', 'https://auth/token', true, false],
    ['http://localhost:5000', 'http://localhost:5001/token', true, true],
    ['http://a.localhost:5000', 'http://b.localhost:5001/token', true, false],
    ['http://127.0.0.1:5000', 'http://127.0.0.1:5001/token', true, true],
    ['http://127.0.0.1:5000', 'http://127.1.0.1:5001/token', true, false],
    ['http://10.0.0.1:5000', 'http://9.0.0.1:5000/token', true, false],
    ['http://[::1]:5000', 'http://[::1]:5001/token', true, true],
    ['http://[::1]:5000', 'http://[::2]:5001/token', true, false],
    ['https://registry.example.com', '/token', false, false],
    ['https://registry.example.com', 'file:///etc/passwd', false, false],
    ['https://registry.example.com', 'https://user:pass@registry.example.com/token', false, false],
  ])('%s sends to %s: a bare request %s, a password %s', async (upstream, realm, anonymous, password) => {
    const may = async (withPassword: boolean): Promise<boolean> => {
      try {
        await checkRealm(realm, new URL(upstream), { withPassword, trustedRealms: [] });
        return true;
      } catch (error) {
        expect(error).toMatchObject({ type: 'failed' });
        return false;
      }
    };
    expect([await may(false), await may(true)]).toEqual([anonymous, password]);
  });

  it('names no secret when it is refused', async () => {
    const rules = { withPassword: true, trustedRealms: [] };
    const checked = checkRealm('https://u:secret@x.example/', new URL('https://y.example'), rules);
    await expect(checked).rejects.toThrow(/^(?!.*secret)/);
  });

  it.each([
    ['https://auth.example.net/token', true],
    ['https://AUTH.example.net:8443/token', true],
    ['https://other.example.net/token', false],
    ['http://auth.example.net/token', false],
  ])('in another domain gets a password when trustedRealms names its host: %s %s', async (realm, expected) => {
    const rules = { withPassword: true, trustedRealms: ['auth.example.net'] };
    const checked = checkRealm(realm, new URL('https://registry.example.com'), rules).then(
      () => true,
      () => false,
    );
    expect(await checked).toBe(expected);
  });
});
