import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createClientReader, type ClientReaderOptions } from '../../../src/http/clients/client-info.js';

const trusting = { trustedProxies: ['10.0.0.0/8', 'fd00::/8'] };

interface TestRequest {
  readonly peer?: string | undefined;
  readonly encrypted?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

function request({ peer, encrypted = false, headers = {} }: TestRequest): IncomingMessage {
  return { headers, socket: { remoteAddress: peer, encrypted } } as unknown as IncomingMessage;
}

function read(from: TestRequest, options: ClientReaderOptions = trusting) {
  return createClientReader(options)(request(from));
}

/** All headers by which a client might claim to be another. */
const claims = {
  'x-forwarded-for': '192.0.2.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-port': '1234',
  'x-forwarded-prefix': '/evil',
  'x-real-ip': '192.0.2.1',
  forwarded: 'for=192.0.2.1;proto=https;host=evil.example',
};

describe('a client that is not a trusted proxy', () => {
  it.each<[string, ClientReaderOptions]>([
    ['others are trusted', trusting],
    ['no proxy is trusted', { trustedProxies: [] }],
  ])('cannot set its address or host by headers: %s', (_title, options) => {
    const request = { peer: '203.0.113.9', headers: { host: 'registry.example:5000', ...claims } };
    const origin = 'http://registry.example:5000';
    expect(read(request, options)).toEqual({ address: '203.0.113.9', host: 'registry.example:5000', origin });
  });

  it('has the address of its connection', () => {
    expect(read({ peer: '::ffff:203.0.113.9' })).toEqual({ address: '203.0.113.9' });
    expect(read({ peer: undefined })).toEqual({ address: '' });
    const secure = { peer: '::1', encrypted: true, headers: { host: 'a' } };
    expect(read(secure)).toEqual({ address: '::1', host: 'a', origin: 'https://a' });
  });
});

describe('the client address behind trusted proxies', () => {
  it.each<[string | undefined, string]>([
    [undefined, '10.0.0.1'],
    ['', '10.0.0.1'],
    ['203.0.113.9', '203.0.113.9'],
    ['192.0.2.1, 203.0.113.9', '203.0.113.9'],
    ['192.0.2.1,203.0.113.9 , 10.0.0.2', '203.0.113.9'],
    ['203.0.113.9, ::ffff:10.0.0.3, fd00::1', '203.0.113.9'],
    ['2001:db8::9', '2001:db8::9'],
    ['203.0.113.9:5678', '203.0.113.9'],
    ['[2001:db8::9]:5678', '2001:db8::9'],
    ['[2001:db8::9]', '2001:db8::9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    // A client inside the trusted network.
    ['10.0.0.9', '10.0.0.9'],
    ['10.0.0.9, 10.0.0.2', '10.0.0.9'],
    // A malformed entry ends the walk: the last valid address is used.
    ['unknown', '10.0.0.1'],
    ['203.0.113.9, unknown', '10.0.0.1'],
    ['203.0.113.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['203.0.113.9,', '10.0.0.1'],
    ['203.0.113.999', '10.0.0.1'],
    ['203.0.113.9:x', '10.0.0.1'],
    ['"203.0.113.9"', '10.0.0.1'],
  ])('for X-Forwarded-For %j is %s', (header, address) => {
    const headers: Record<string, string> = header === undefined ? {} : { 'x-forwarded-for': header };
    expect(read({ peer: '10.0.0.1', headers })).toEqual({ address });
  });

  it('is not taken from other headers', () => {
    const headers = { 'x-real-ip': '192.0.2.1', forwarded: 'for=192.0.2.1' };
    expect(read({ peer: '10.0.0.1', headers })).toEqual({ address: '10.0.0.1' });
  });
});

describe('the origin behind trusted proxies', () => {
  it.each<[string, Readonly<Record<string, string>>, string | undefined]>([
    ['only Host', { host: 'a' }, 'http://a'],
    ['a forwarded scheme', { host: 'a', 'x-forwarded-proto': 'https' }, 'https://a'],
    ['a forwarded scheme in capitals', { host: 'a', 'x-forwarded-proto': 'HTTPS' }, 'https://a'],
    ['an unknown forwarded scheme', { host: 'a', 'x-forwarded-proto': 'gopher' }, 'http://a'],
    ['a forwarded host', { host: 'inner', 'x-forwarded-host': 'a:5000' }, 'http://a:5000'],
    ['an invalid forwarded host', { host: 'inner', 'x-forwarded-host': 'a"b' }, 'http://inner'],
    ['only a forwarded host', { 'x-forwarded-host': 'a' }, 'http://a'],
    ['a forwarded port', { host: 'a', 'x-forwarded-port': '8443' }, 'http://a'],
    ['a forwarded prefix', { host: 'a', 'x-forwarded-prefix': '/b' }, 'http://a'],
    ['Forwarded', { host: 'a', forwarded: 'proto=https;host=b' }, 'http://a'],
    ['nothing at all', {}, undefined],
  ])('is derived from %s', (_title, headers, origin) => {
    expect(read({ peer: '10.0.0.1', headers }).origin).toBe(origin);
  });

  it.each<[string, string, string, string]>([
    ['one proxy that replaces', '203.0.113.9', 'https', 'https'],
    ['one proxy that appends to the claims of the client', '192.0.2.1, 203.0.113.9', 'https, http', 'http'],
    ['two proxies that append', '203.0.113.9, 10.0.0.2', 'https, http', 'https'],
    [
      'two proxies that append to the claims of the client',
      '192.0.2.1, 203.0.113.9, 10.0.0.2',
      'http, https, http',
      'https',
    ],
    ['two proxies, of which the inner one changes nothing', '203.0.113.9, 10.0.0.2', 'https', 'https'],
  ])('has the scheme and host of the proxy next to the client: %s', (_title, addresses, schemes, expected) => {
    const hosts = schemes.replaceAll('https', 'secure').replaceAll('http', 'plain');
    const headers = { 'x-forwarded-for': addresses, 'x-forwarded-proto': schemes, 'x-forwarded-host': hosts };
    const { origin } = read({ peer: '10.0.0.1', headers });
    expect(origin).toBe(expected === 'https' ? 'https://secure' : 'http://plain');
  });

  it('is that of publicUrl if it is set', () => {
    const options = { ...trusting, publicUrl: 'https://registry.example:443/ignored' };
    const request = { peer: '10.0.0.1', headers: { host: 'b', ...claims } };
    // The host that the client used still selects the repository.
    const origin = 'https://registry.example';
    expect(read(request, options)).toEqual({ address: '192.0.2.1', host: 'evil.example', origin });
  });
});

describe('the host of a request', () => {
  it.each([
    'a',
    'a:1',
    'a:65535',
    'registry.example',
    'registry.example.:5000',
    'my_service:5000',
    'xn--bcher-kva.example',
    '127.0.0.1:5000',
    '[::1]:5000',
    '[2001:db8::1]',
    'a'.repeat(255),
  ])('%s is valid in an origin', (host) => {
    expect(read({ peer: '203.0.113.9', headers: { host } }).origin).toBe(`http://${host}`);
  });

  it.each([
    '',
    ' ',
    'a b',
    'a"',
    'a\\',
    "a'b",
    'a/b',
    'a?b',
    'a#b',
    'user@a',
    'a:b',
    'a:65536',
    'a:123456',
    'a:1:2',
    ':80',
    '-a',
    '::1',
    '[::1',
    '[zz]',
    'a,b',
    'a<b>',
    'bücher.example',
    'a'.repeat(256),
  ])('%j is invalid and yields no origin', (host) => {
    expect(read({ peer: '203.0.113.9', headers: { host } })).toEqual({ address: '203.0.113.9', host });
  });

  it('is X-Forwarded-Host from a trusted proxy, else Host', () => {
    const headers = { host: 'inner', 'x-forwarded-host': 'hub.example' };
    expect(read({ peer: '10.0.0.1', headers }).host).toBe('hub.example');
    expect(read({ peer: '203.0.113.9', headers }).host).toBe('inner');
    expect(read({ peer: '203.0.113.9' }).host).toBeUndefined();
  });
});

it('createClientReader rejects a trusted proxy that is not an address', () => {
  expect(() => createClientReader({ trustedProxies: ['proxy.example'] })).toThrow(RangeError);
});
