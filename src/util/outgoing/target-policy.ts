import dns, { type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Logger } from '../../ports/runtime.js';
import type { TargetPolicy } from '../../ports/upstream.js';
import { failed, type UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import { createAddressMatcher, isAddressOrNetwork, isPrivateAddress } from '../addresses.js';

/** Options of a target policy. */
export interface TargetPolicyOptions {
  /** The configured URL. Its host is always allowed, on any port, even with a private address. */
  readonly configured: URL;
  /** Additional allowed hosts, addresses or networks; `true` allows everything. */
  readonly allow?: boolean | readonly string[] | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

/** Names of the local machine on any resolver, including that of an outgoing proxy. */
const localName = /(?:^|\.)(?:localhost|localdomain|ip6-localhost|ip6-loopback)$/;

/**
 * Prevents an upstream from directing us into our own network (SSRF) with a redirect, a token realm or the URL of a key
 * set. A name is checked when a socket resolves it, so it cannot change to another address in between (DNS rebinding).
 */
export function createTargetPolicy({ configured, allow = false, log }: TargetPolicyOptions): TargetPolicy {
  const entries = typeof allow === 'boolean' ? [] : allow.map(hostOf);
  const names = new Set([hostOf(configured.hostname), ...entries.filter((entry) => !isAddressOrNetwork(entry))]);
  const isListed = createAddressMatcher(entries.filter(isAddressOrNetwork));
  const isRefused = (address: string): boolean => isPrivateAddress(address) && !isListed(address);
  const refuse = (host: string, address?: string): UpstreamVerdict => {
    log.warn({ configured: configured.host, host, address }, 'private target refused');
    return failed(
      `it leads to "${host}", a private or local address: if that is intended, add it to allowPrivateTargets`,
    );
  };
  const isExempt = (host: string): boolean => allow === true || names.has(host);
  const lookup: LookupFunction = (hostname, options, callback) => {
    dns.lookup(hostname, options, (error, found: string | LookupAddress[], family) => {
      if (error !== null || isExempt(hostOf(hostname))) return callback(error, found, family);
      const addresses = typeof found === 'string' ? [found] : found.map(({ address }) => address);
      const hidden = addresses.find(isRefused);
      if (hidden !== undefined) return callback(refuse(hostname, hidden), '', 4);
      return callback(null, found, family);
    });
  };
  return {
    key: JSON.stringify([allow === true, [...names].sort(), entries]),
    check: ({ hostname }) => {
      const host = hostOf(hostname);
      const address = localName.test(host) ? '127.0.0.1' : host;
      if (!isExempt(host) && isRefused(address)) throw refuse(host);
    },
    lookup,
  };
}

/** Returns a host in lower case, without the brackets of IPv6 and the final dot of an absolute name. */
function hostOf(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
