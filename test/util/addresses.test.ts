import { describe, expect, it } from 'vitest';
import {
  createAddressMatcher,
  customerOf,
  isAddressOrNetwork,
  isLoopback,
  normalizeAddress,
} from '../../src/util/addresses.js';

describe('createAddressMatcher', () => {
  it.each<[string, string, boolean]>([
    ['10.0.0.1', '10.0.0.1', true],
    ['10.0.0.1', '10.0.0.2', false],
    ['10.0.0.0/8', '10.255.1.2', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::1', '::1', true],
    ['::1', '0:0:0:0:0:0:0:1', true],
    ['fd00::/8', 'fdab::1', true],
    ['fd00::/8', 'fe80::1', false],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '11.0.0.1', false],
    ['10.0.0.0/8', '', false],
    ['10.0.0.0/8', 'example.com', false],
  ])('matches entry %s with address "%s": %s', (entry, address, expected) => {
    expect(createAddressMatcher([entry])(address)).toBe(expected);
  });

  it('accepts several entries, or none', () => {
    const isListed = createAddressMatcher(['192.0.2.1', 'fd00::/8']);
    expect(['192.0.2.1', 'fd00::1', '192.0.2.2'].map(isListed)).toEqual([true, true, false]);
    expect(createAddressMatcher([])('127.0.0.1')).toBe(false);
  });

  it.each([
    '',
    'localhost',
    '10.0.0',
    '10.0.0.1/33',
    '::/129',
    '::ffff:10.0.0.0/8',
    '10.0.0.0/',
    '/8',
    '10.0.0.1 ',
    '*',
  ])('rejects the entry %j', (entry) => {
    expect(isAddressOrNetwork(entry)).toBe(false);
    expect(() => createAddressMatcher([entry])).toThrow(RangeError);
  });

  it.each(['10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8', '::/0'])('accepts the entry %s', (entry) => {
    expect(isAddressOrNetwork(entry)).toBe(true);
  });
});

it.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::FFFF:10.0.0.1', '10.0.0.1'],
  ['::ffff:a00:1', '::ffff:a00:1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::1', '::1'],
  ['', ''],
])('normalizeAddress turns %j into %j', (address, expected) => {
  expect(normalizeAddress(address)).toBe(expected);
});

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
])('customerOf assigns %s to %s', (address, customer) => {
  expect(customerOf(address)).toBe(customer);
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
  ])('returns for %s: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});
