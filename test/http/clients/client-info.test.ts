import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createClientReader, type ClientReaderOptions } from '../../../src/http/clients/client-info.js';

const trusting = { trustedProxies: ['10.0.0.0/8', 'fd00::/8'] };

interface Said {
  readonly peer?: string | undefined;
  readonly encrypted?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

function request({ peer, encrypted = false, headers = {} }: Said): IncomingMessage {
  return { headers, socket: { remoteAddress: peer, encrypted } } as unknown as IncomingMessage;
}

function read(said: Said, options: ClientReaderOptions = trusting) {
  return createClientReader(options)(request(said));
}

/** Everything that a client might try to say of itself. */
const claims = {
  'x-forwarded-for': '192.0.2.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-port': '1234',
  'x-forwarded-prefix': '/evil',
  'x-real-ip': '192.0.2.1',
  forwarded: 'for=192.0.2.1;proto=https;host=evil.example',
};

describe('whoever is no trusted proxy', () => {
  it.each<[string, ClientReaderOptions]>([
    ['one of others', trusting],
    ['none is trusted', { trustedProxies: [] }],
  ])('is not believed: %s', (_title, options) => {
    const said = { peer: '203.0.113.9', headers: { host: 'registry.example:5000', ...claims } };
    const origin = 'http://registry.example:5000';
    expect(read(said, options)).toEqual({ address: '203.0.113.9', host: 'registry.example:5000', origin });
  });

  it('is known by its connection', () => {
    expect(read({ peer: '::ffff:203.0.113.9' })).toEqual({ address: '203.0.113.9' });
    expect(read({ peer: undefined })).toEqual({ address: '' });
    const secure = { peer: '::1', encrypted: true, headers: { host: 'a' } };
    expect(read(secure)).toEqual({ address: '::1', host: 'a', origin: 'https://a' });
  });
});

describe('the client, as trusted proxies tell', () => {
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
    // Inside of the trusted network itself.
    ['10.0.0.9', '10.0.0.9'],
    ['10.0.0.9, 10.0.0.2', '10.0.0.9'],
    // What no proxy writes ends the walk at the last that is sure.
    ['unknown', '10.0.0.1'],
    ['203.0.113.9, unknown', '10.0.0.1'],
    ['203.0.113.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['203.0.113.9,', '10.0.0.1'],
    ['203.0.113.999', '10.0.0.1'],
    ['203.0.113.9:x', '10.0.0.1'],
    ['"203.0.113.9"', '10.0.0.1'],
  ])('%j: %s', (header, address) => {
    const headers: Record<string, string> = header === undefined ? {} : { 'x-forwarded-for': header };
    expect(read({ peer: '10.0.0.1', headers })).toEqual({ address });
  });

  it('is not taken from other headers', () => {
    const headers = { 'x-real-ip': '192.0.2.1', forwarded: 'for=192.0.2.1' };
    expect(read({ peer: '10.0.0.1', headers })).toEqual({ address: '10.0.0.1' });
  });
});

describe('the origin, as trusted proxies tell', () => {
  it.each<[string, Readonly<Record<string, string>>, string | undefined]>([
    ['nothing', { host: 'a' }, 'http://a'],
    ['the scheme', { host: 'a', 'x-forwarded-proto': 'https' }, 'https://a'],
    ['the scheme, in capitals', { host: 'a', 'x-forwarded-proto': 'HTTPS' }, 'https://a'],
    ['another scheme', { host: 'a', 'x-forwarded-proto': 'gopher' }, 'http://a'],
    ['the host', { host: 'inner', 'x-forwarded-host': 'a:5000' }, 'http://a:5000'],
    ['a host that is none', { host: 'inner', 'x-forwarded-host': 'a"b' }, 'http://inner'],
    ['the host alone', { 'x-forwarded-host': 'a' }, 'http://a'],
    ['a port', { host: 'a', 'x-forwarded-port': '8443' }, 'http://a'],
    ['a prefix', { host: 'a', 'x-forwarded-prefix': '/b' }, 'http://a'],
    ['Forwarded', { host: 'a', forwarded: 'proto=https;host=b' }, 'http://a'],
    ['nothing at all', {}, undefined],
  ])('%s', (_title, headers, origin) => {
    expect(read({ peer: '10.0.0.1', headers }).origin).toBe(origin);
  });

  it.each<[string, string, string, string]>([
    ['one proxy, which replaces', '203.0.113.9', 'https', 'https'],
    ['one proxy, which adds to what the client claims', '192.0.2.1, 203.0.113.9', 'https, http', 'http'],
    ['two proxies, which add', '203.0.113.9, 10.0.0.2', 'https, http', 'https'],
    [
      'two proxies, which add to what the client claims',
      '192.0.2.1, 203.0.113.9, 10.0.0.2',
      'http, https, http',
      'https',
    ],
    ['two proxies, the inner one passes on', '203.0.113.9, 10.0.0.2', 'https', 'https'],
  ])('the scheme and the host of %s', (_title, addresses, schemes, expected) => {
    const hosts = schemes.replaceAll('https', 'secure').replaceAll('http', 'plain');
    const headers = { 'x-forwarded-for': addresses, 'x-forwarded-proto': schemes, 'x-forwarded-host': hosts };
    const { origin } = read({ peer: '10.0.0.1', headers });
    expect(origin).toBe(expected === 'https' ? 'https://secure' : 'http://plain');
  });

  it('gives way to the public URL', () => {
    const options = { ...trusting, publicUrl: 'https://registry.example:443/ignored' };
    const said = { peer: '10.0.0.1', headers: { host: 'b', ...claims } };
    // Repositories are still addressed by the name that was used.
    const origin = 'https://registry.example';
    expect(read(said, options)).toEqual({ address: '192.0.2.1', host: 'evil.example', origin });
  });
});

describe('the host', () => {
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
  ])('%s makes an origin', (host) => {
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
  ])('%j makes none', (host) => {
    expect(read({ peer: '203.0.113.9', headers: { host } })).toEqual({ address: '203.0.113.9', host });
  });

  it('that repositories are addressed by is a trusted proxy’s before the request’s', () => {
    const headers = { host: 'inner', 'x-forwarded-host': 'hub.example' };
    expect(read({ peer: '10.0.0.1', headers }).host).toBe('hub.example');
    expect(read({ peer: '203.0.113.9', headers }).host).toBe('inner');
    expect(read({ peer: '203.0.113.9' }).host).toBeUndefined();
  });
});

it('takes no trusted proxy that is no address', () => {
  expect(() => createClientReader({ trustedProxies: ['proxy.example'] })).toThrow(RangeError);
});
