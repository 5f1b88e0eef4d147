import { BlockList, isIP } from 'node:net';

/** `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`: whether a list of addresses may have such an entry. */
export function isAddressOrNetwork(entry: string): boolean {
  return parseEntry(entry) !== undefined;
}

/**
 * Tells whether an address is in one of these networks. An IPv4 address is the same when it is written as IPv6.
 * @throws RangeError for an entry that is neither an address nor a network.
 */
export function createAddressMatcher(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => false;
  const list = new BlockList();
  for (const entry of entries) {
    const parsed = parseEntry(entry);
    if (parsed === undefined) throw new RangeError(`${entry} is neither an address nor a network`);
    list.addSubnet(parsed.address, parsed.bits, parsed.family);
  }
  return (address) => {
    const family = familyOf(address);
    return family !== undefined && list.check(address, family);
  };
}

/** The address as it is compared and shown: without a zone, and an IPv4 address never as IPv6, as many sockets give it. */
export function normalizeAddress(address: string): string {
  if (!address.includes(':')) return address;
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  return /^::ffff:(?<four>[0-9.]+)$/i.exec(bare)?.groups?.['four'] ?? bare;
}

/**
 * What one customer of a provider has: an IPv4 address, and of IPv6 the first 64 bits, below which anybody takes as many
 * addresses as they like.
 */
export function customerOf(address: string): string {
  if (!address.includes(':')) return address;
  const [before = '', after] = address.split('::', 2);
  const head = groupsOf(before);
  const tail = after === undefined ? [] : groupsOf(after);
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(':')}::/64`;
}

function parseEntry(
  entry: string,
): { readonly address: string; readonly bits: number; readonly family: 'ipv4' | 'ipv6' } | undefined {
  const match = /^(?<written>[0-9a-f:.]+)(?:\/(?<size>[0-9]{1,3}))?$/i.exec(entry);
  const written = match?.groups?.['written'] ?? '';
  const address = normalizeAddress(written);
  const family = familyOf(address);
  if (family === undefined) return undefined;
  const most = family === 'ipv4' ? 32 : 128;
  const size = match?.groups?.['size'];
  // `::ffff:10.0.0.0/104` counts the bits of IPv6.
  const bits = size === undefined ? most : Number(size) - (address === written ? 0 : 96);
  return bits < 0 || bits > most ? undefined : { address, bits, family };
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const family = isIP(address);
  if (family === 0) return undefined;
  return family === 4 ? 'ipv4' : 'ipv6';
}

/** Written in one way each: `00AB` is `ab`. A dotted end stands for two. */
function groupsOf(text: string): string[] {
  if (text === '') return [];
  return text
    .split(':')
    .flatMap((group) => (group.includes('.') ? [group, ''] : Number.parseInt(group, 16).toString(16)));
}
