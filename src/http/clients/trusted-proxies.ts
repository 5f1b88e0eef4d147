import type { IncomingMessage } from 'node:http';
import { addressesOf, createAddressMatcher, normalizeAddress, unixProxies } from '../../util/addresses.js';
import { socketPathOf } from './private-socket.js';

/** Tests peers and addresses against the option `trustedProxies`. */
export interface TrustedProxies {
  /** Returns whether an address is that of a trusted proxy. */
  readonly hasAddress: (address: string) => boolean;
  /** Returns whether the request arrived from a trusted proxy: from its address, or on a Unix socket. */
  sent(req: IncomingMessage): boolean;
}

/** Creates the test. @throws RangeError for an entry that is not an address, a network or `unix:`. */
export function createTrustedProxies(trustedProxies: readonly string[]): TrustedProxies {
  const hasAddress = createAddressMatcher(addressesOf(trustedProxies));
  const trustsSockets = trustedProxies.includes(unixProxies);
  return {
    hasAddress,
    sent: ({ socket }) => {
      const peer = normalizeAddress(socket.remoteAddress ?? '');
      return peer === '' ? trustsSockets && socketPathOf(socket) !== undefined : hasAddress(peer);
    },
  };
}
