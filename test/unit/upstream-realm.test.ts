import { describe, expect, it } from 'vitest';
import { checkRealm, isLoopback } from '../../src/upstream/upstream-realm.js';

describe('a realm', () => {
  it.each([
    // upstream, realm, anonymous, with a password
    ['https://registry-1.docker.io', 'https://auth.docker.io/token', true, true],
    ['https://registry.example.com', 'https://registry.example.com:8443/token', true, true],
    ['https://registry.example.com', 'https://EXAMPLE.com/token', true, true],
    ['https://registry.example.com', 'https://example.com.evil.net/token', true, false],
    ['https://registry.example.com', 'https://evilexample.com/token', true, false],
    ['https://registry.example.com', 'http://registry.example.com/token', false, false],
    ['http://registry.example.com', 'http://auth.example.com/token', true, true],
    ['http://registry.example.com', 'https://auth.example.com/token', true, true],
    ['https://registry.firm.co.uk', 'https://auth.firm.co.uk/token', true, true],
    ['https://registry.firm.co.uk', 'https://thief.co.uk/token', true, false],
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
  ])('%s sends to %s: a bare request %s, a password %s', (upstream, realm, anonymous, password) => {
    const may = (withPassword: boolean): boolean => {
      try {
        checkRealm(realm, new URL(upstream), withPassword);
        return true;
      } catch (error) {
        expect(error).toMatchObject({ type: 'failed' });
        return false;
      }
    };
    expect([may(false), may(true)]).toEqual([anonymous, password]);
  });

  it('names no secret when it is refused', () => {
    expect(() => checkRealm('https://u:secret@x.example/', new URL('https://y.example'), true)).toThrow(
      /^(?!.*secret)/,
    );
  });
});

describe('isLoopback', () => {
  it.each([
    ['localhost', true],
    ['LOCALHOST.', true],
    ['x.localhost', true],
    ['127.0.0.1', true],
    ['127.8.9.10', true],
    ['[::1]', true],
    ['10.127.0.1', false],
    ['127.example.com', false],
    ['localhost.example.com', false],
  ])('%s: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});
