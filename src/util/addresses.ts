import { BlockList, isIP } from 'node:net';

/** Returns whether a list of addresses may contain this entry: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`. */
export function isAddressOrNetwork(entry: string): boolean {
  return parseEntry(entry) !== undefined;
}

/** The entry of `trustedProxies` for proxies on a Unix socket, which have no address; as in nginx's `set_real_ip_from`. */
export const unixProxies = 'unix:';

/** Returns whether `trustedProxies` may contain this entry. */
export function isProxyEntry(entry: string): boolean {
  return entry === unixProxies || isAddressOrNetwork(entry);
}

/** Returns the addresses and networks in `trustedProxies`. */
export function addressesOf(trustedProxies: readonly string[]): readonly string[] {
  return trustedProxies.filter((entry) => entry !== unixProxies);
}

/**
 * Returns a function that tests whether an address is in one of these networks. An IPv4 address also matches when
 * written as IPv6.
 * @throws RangeError for an entry that is neither an address nor a network.
 */
export function createAddressMatcher(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => false;
  const networks = entries.map((entry) => {
    const parsed = parseEntry(entry);
    if (parsed === undefined) throw new RangeError(`"${entry}" is neither an address nor a network`);
    return parsed;
  });
  return matcherOf(networks);
}

interface Network {
  readonly address: string;
  readonly bits: number;
  readonly family: 'ipv4' | 'ipv6';
}

function matcherOf(networks: readonly Network[]): (address: string) => boolean {
  const list = new BlockList();
  for (const { address, bits, family } of networks) list.addSubnet(address, bits, family);
  return (address) => {
    const family = familyOf(address);
    return family !== undefined && list.check(address, family);
  };
}

/**
 * Returns an address in the form used for comparing and showing it: without a zone, and an IPv4 address never in the
 * IPv6 form that many sockets report.
 */
export function normalizeAddress(address: string): string {
  if (!address.includes(':')) return address;
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  return /^::ffff:(?<four>[0-9.]+)$/i.exec(bare)?.groups?.['four'] ?? bare;
}

/**
 * Returns the addresses that one customer of a provider controls: an IPv4 address, or the first 64 bits of an IPv6
 * address, because a customer can use any number of addresses below them.
 */
export function customerOf(address: string): string {
  if (!address.includes(':')) return address;
  return `${allGroupsOf(address).slice(0, 4).join(':')}::/64`;
}

function allGroupsOf(address: string): readonly string[] {
  const [before = '', after] = address.split('::', 2);
  const head = groupsOf(before);
  const tail = after === undefined ? [] : groupsOf(after);
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  return [...head, ...zeros, ...tail];
}

/**
 * Networks that are not part of the internet: unspecified, private, carrier-grade NAT, loopback, link-local, protocol
 * assignments, multicast, reserved and broadcast; unique-local, site-local, discard-only, local NAT64 and Teredo of
 * IPv6. The metadata services of clouds are in these networks. 168.63.129.16 is the wire server of Azure.
 */
const privateNetworks = `
  0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
  192.168.0.0/16 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 fc00::/7 fe80::/10 fec0::/10 ff00::/8
  100::/64 64:ff9b:1::/48 2001::/32
`;
const isInPrivateNetwork = matcherOf(
  privateNetworks
    .trim()
    .split(/\s+/)
    .map((network) => {
      const [address = '', bits] = network.split('/');
      // `isIP` compiles a pattern for IPv6, which would take 3 % of a start.
      return { address, bits: Number(bits), family: address.includes(':') ? 'ipv6' : 'ipv4' };
    }),
);

/**
 * Returns whether no host of the internet can have this address, or one embedded in it. Returns `false` for a string
 * that is not an address.
 */
export function isPrivateAddress(address: string): boolean {
  const bare = normalizeAddress(address);
  if (isIP(bare) !== 6) return isInPrivateNetwork(bare);
  return isInPrivateNetwork(bare) || isInPrivateNetwork(embeddedAddress(bare) ?? '');
}

/** Returns the IPv4 address embedded in an IPv6 address: IPv4-mapped and -compatible (including `::1`), NAT64, 6to4. */
function embeddedAddress(address: string): string | undefined {
  const groups = allGroupsOf(address).map((group) => Number.parseInt(group, 16));
  const begins = (...first: readonly number[]): boolean => first.every((group, i) => groups[i] === group);
  if (begins(0x2002)) return dotted(groups[1], groups[2]);
  const isMapped = begins(0, 0, 0, 0, 0) && (groups[5] === 0xffff || groups[5] === 0);
  return isMapped || begins(0x64, 0xff9b, 0, 0, 0, 0) ? dotted(groups[6], groups[7]) : undefined;
}

function dotted(high = 0, low = 0): string {
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

function parseEntry(entry: string): Network | undefined {
  const match = /^(?<written>[0-9a-f:.]+)(?:\/(?<size>[0-9]{1,3}))?$/i.exec(entry);
  const written = match?.groups?.['written'] ?? '';
  const address = normalizeAddress(written);
  const family = familyOf(address);
  if (family === undefined) return undefined;
  const max = family === 'ipv4' ? 32 : 128;
  const size = match?.groups?.['size'];
  // `::ffff:10.0.0.0/104` counts the bits of IPv6.
  const bits = size === undefined ? max : Number(size) - (address === written ? 0 : 96);
  return bits < 0 || bits > max ? undefined : { address, bits, family };
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const family = isIP(address);
  if (family === 0) return undefined;
  return family === 4 ? 'ipv4' : 'ipv6';
}

/** Splits colon-separated groups and normalizes each: `00AB` becomes `ab`. A dotted IPv4 end makes two groups. */
function groupsOf(text: string): string[] {
  if (text === '') return [];
  return text
    .split(':')
    .flatMap((group) => (group.includes('.') ? groupsOfDotted(group) : Number.parseInt(group, 16).toString(16)));
}

function groupsOfDotted(address: string): string[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)];
}

/** Returns whether a host name means this machine: `localhost`, names under it, 127.0.0.0/8 and ::1. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/\.$/, '');
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127(?:\.[0-9]+){3}$/.test(host);
}
