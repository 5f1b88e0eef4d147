import dns, { type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Logger } from '../ports/runtime.js';
import type { TargetPolicy } from '../ports/upstream.js';
import { createAddressMatcher, isAddressOrNetwork, isPrivateAddress } from './addresses.js';

/** A connection that must not be made. The message names the host but no address: clients may read it. */
export class PrivateTargetError extends Error {
  override readonly name = 'PrivateTargetError';
  readonly code = 'ERR_PRIVATE_TARGET';

  constructor(host: string) {
    super(`it leads to ${host}, which is a private or local address: allow it by allowPrivateTargets if it is meant`);
  }
}

export interface TargetPolicyOptions {
  /** The URL that the operator wrote. Its host is always allowed, on any port, whatever address it has. */
  readonly configured: URL;
  /** `true`: everything. Hosts, addresses or networks: those too. */
  readonly allow?: boolean | readonly string[] | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

/** A name that means this machine to whoever resolves it: an outgoing proxy, too. */
const localName = /(?:^|\.)(?:localhost|localdomain|ip6-localhost|ip6-loopback)$/;

/**
 * Keeps an upstream from leading us into our own network (SSRF): by a redirect, a token realm or a key set's URL. A name is
 * checked when a socket resolves it, so that it cannot mean another address a moment later (DNS rebinding).
 */
export function createTargetPolicy({ configured, allow = false, log }: TargetPolicyOptions): TargetPolicy {
  const entries = typeof allow === 'boolean' ? [] : allow.map(hostOf);
  const names = new Set([hostOf(configured.hostname), ...entries.filter((entry) => !isAddressOrNetwork(entry))]);
  const isListed = createAddressMatcher(entries.filter(isAddressOrNetwork));
  const isRefused = (address: string): boolean => isPrivateAddress(address) && !isListed(address);
  const refuse = (host: string, address?: string): PrivateTargetError => {
    log.warn({ configured: configured.host, host, address }, 'private target refused');
    return new PrivateTargetError(host);
  };
  const isExempt = (host: string): boolean => allow === true || names.has(host);
  const lookup: LookupFunction = (hostname, options, callback) => {
    if (isExempt(hostOf(hostname))) return dns.lookup(hostname, options, callback as never);
    return dns.lookup(hostname, options, (error, found: string | LookupAddress[], family) => {
      if (error !== null) return callback(error, found, family);
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

/** Without the brackets of IPv6, in lower case, without the dot of an absolute name. */
function hostOf(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
