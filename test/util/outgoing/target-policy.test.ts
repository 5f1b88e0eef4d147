import dns from 'node:dns';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isPrivateAddress } from '../../../src/util/addresses.js';
import { UpstreamVerdict } from '../../../src/protocol/upstream/verdict.js';
import { createTargetPolicy } from '../../../src/util/outgoing/target-policy.js';
import { recordingLogger } from '../../support/servers/registry.js';

/** The addresses that names resolve to. Each lookup takes the next list. */
let answers: string[][] = [];
let lookedUp: string[] = [];

beforeEach(() => {
  [answers, lookedUp] = [[], []];
  const lookup = (name: string, options: dns.LookupOptions, callback: (...found: unknown[]) => void): void => {
    lookedUp.push(name);
    const addresses = (answers.shift() ?? []).map((address) => ({ address, family: 4 }));
    if (addresses.length === 0) callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }));
    else if (options.all === true) callback(null, addresses);
    else callback(null, addresses[0]?.address, 4);
  };
  vi.spyOn(dns, 'lookup').mockImplementation(lookup as never);
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('isPrivateAddress', () => {
  it.each(
    `
  127.0.0.1 127.255.0.9 0.0.0.0 0.1.2.3 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1
  169.254.169.254 100.64.0.1 100.100.100.200 100.127.255.255 192.0.0.192 168.63.129.16 224.0.0.1
  239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 0:0:0:0:0:0:0:1 fe80::1 fe80::1%eth0 febf::1 fec0::1
  fc00::1 fd00:ec2::254 ff02::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:a9fe:a9fe ::FFFF:10.0.0.1
  ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1::1
  2001:0:1::1 100::1
`
      .trim()
      .split(/\s+/),
  )('is true for %s', (address) => {
    expect(isPrivateAddress(address)).toBe(true);
  });

  it.each(
    `
  8.8.8.8 1.1.1.1 172.15.0.1 172.32.0.1 192.167.1.1 100.63.0.1 100.128.0.1 11.0.0.1
  223.255.255.255 2606:4700::1111 2a00::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
`
      .trim()
      .split(/\s+/),
  )('is false for %s', (address) => {
    expect(isPrivateAddress(address)).toBe(false);
  });
});

function policyOf(configured: string, allow?: boolean | readonly string[]) {
  const log = recordingLogger();
  return { ...createTargetPolicy({ configured: new URL(configured), allow, log }), log };
}

function resolve(policy: ReturnType<typeof policyOf>, name: string, all: boolean): Promise<unknown> {
  return new Promise((give, reject) => {
    policy.lookup(name, { all }, (error, found) => (error === null ? give(found) : reject(error)));
  });
}

describe('the host of a URL', () => {
  it.each([
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0177.0.0.1/',
    'http://127.1/',
    'http://127.0.0.1./',
    'http://[::1]:5000/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:a9fe:a9fe]/latest/meta-data',
    'http://169.254.169.254/latest/meta-data',
    'http://localhost/',
    'http://LOCALHOST.:80/',
    'http://a.localhost/',
    'http://localhost.localdomain/',
    'http://ip6-localhost/',
    'http://0/',
  ])('is refused, and the refusal is logged: %s', (url) => {
    const policy = policyOf('https://registry.example');
    expect(() => policy.check(new URL(url))).toThrow(UpstreamVerdict);
    expect(policy.log.lines).toMatchObject([{ level: 'warn', message: 'private target refused' }]);
  });

  it.each<[url: string, configured: string, allow?: boolean | readonly string[]]>([
    ['https://cdn.example/', 'https://registry.example'],
    ['http://127.0.0.1:9000/', 'http://127.0.0.1:5000'],
    ['http://localhost:9000/', 'http://LOCALHOST:5000'],
    ['http://[::1]:9000/', 'http://[0:0:0:0:0:0:0:1]:5000'],
    ['http://10.0.0.7/', 'https://registry.example', true],
    ['http://10.0.0.7/', 'https://registry.example', ['10.0.0.7']],
    ['http://10.0.0.7/', 'https://registry.example', ['10.0.0.0/8']],
    ['http://localhost/', 'https://registry.example', ['LocalHost']],
  ])('is allowed: %s for %s, %s', (url, configured, allow) => {
    const policy = policyOf(configured, allow);
    expect(() => policy.check(new URL(url))).not.toThrow();
    expect(policy.log.lines).toEqual([]);
  });

  it.each<[url: string, configured: string, allow: readonly string[]]>([
    ['http://127.0.0.2/', 'http://127.0.0.1:5000', []],
    ['http://localhost/', 'http://127.0.0.1:5000', []],
    ['http://10.0.0.8/', 'https://registry.example', ['10.0.0.7']],
    ['http://192.168.0.1/', 'https://registry.example', ['10.0.0.0/8']],
  ])('is refused when another host is allowed: %s for %s, %j', (url, configured, allow) => {
    expect(() => policyOf(configured, allow).check(new URL(url))).toThrow(UpstreamVerdict);
  });
});

describe('a name that a socket resolves', () => {
  it.each([false, true])('is refused when any of its addresses is private (all: %s)', async (all) => {
    const policy = policyOf('https://registry.example');
    answers = [['127.0.0.1', '8.8.8.8']];
    await expect(resolve(policy, 'cdn.example', all)).rejects.toThrow(UpstreamVerdict);
    expect(policy.log.lines).toMatchObject([{ fields: { host: 'cdn.example', address: '127.0.0.1' } }]);
  });

  it('is resolved and checked once for each connection', async () => {
    const policy = policyOf('https://registry.example');
    answers = [['8.8.8.8'], ['169.254.169.254']];
    expect(await resolve(policy, 'cdn.example', false)).toBe('8.8.8.8');
    await expect(resolve(policy, 'cdn.example', false)).rejects.toThrow(UpstreamVerdict);
    expect(lookedUp).toEqual(['cdn.example', 'cdn.example']);
  });

  it('is allowed when it is the configured host, or listed, or resolves into a listed network', async () => {
    answers = [['10.0.0.1'], ['10.0.0.1'], ['10.0.0.1']];
    expect(await resolve(policyOf('https://registry.corp'), 'registry.corp', false)).toBe('10.0.0.1');
    expect(await resolve(policyOf('https://a.example', ['git.corp']), 'git.corp', false)).toBe('10.0.0.1');
    expect(await resolve(policyOf('https://a.example', ['10.0.0.0/24']), 'any.corp', false)).toBe('10.0.0.1');
  });

  it('fails with the original error when it does not resolve', async () => {
    await expect(resolve(policyOf('https://a.example'), 'b.example', true)).rejects.toMatchObject({
      code: 'ENOTFOUND',
    });
  });

  it('is refused with a message that contains no address', async () => {
    answers = [['10.1.2.3']];
    const refused = resolve(policyOf('https://registry.example'), 'cdn.example', true);
    await expect(refused).rejects.toThrow(/^it leads to "cdn\.example"\D*$/);
  });
});
