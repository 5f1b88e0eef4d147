/**
 * Facts about the client of a request: address and host, the `Via` trail, web pages, URLs in logs. Imported by http/,
 * the composition root and the command's server.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { ClientInfo } from '../../ports/access/access.js';
import { normalizeAddress } from '../../util/addresses.js';
import { createTrustedProxies } from './trusted-proxies.js';

/** Options of `createClientReader`. */
export interface ClientReaderOptions {
  /** Addresses and networks (`unix:` for Unix sockets) of the proxies whose `X-Forwarded-*` headers are trusted. */
  readonly trustedProxies: readonly string[];
  /** The URL that clients use, such as `https://registry.example`. Absent: derived from each request. */
  readonly publicUrl?: string | undefined;
}

/** Returns the address of the client and the host and origin that it used. */
export type ClientReader = (req: IncomingMessage) => ClientInfo;

/**
 * Creates a reader of client information. It uses `X-Forwarded-For`, `-Proto` and `-Host` only on connections from trusted
 * proxies, which must set or remove each of them. It ignores `Forwarded`, which such proxies pass on as the client wrote it,
 * and `X-Forwarded-Port`, since `Host` includes the port.
 * @throws RangeError for a trusted proxy that is not an address or network; TypeError for an invalid URL.
 */
export function createClientReader({ trustedProxies, publicUrl }: ClientReaderOptions): ClientReader {
  const trusted = createTrustedProxies(trustedProxies);
  const publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin;

  return (req) => {
    const peer = peerOf(req);
    const route = trusted.sent(req) ? walk(peer, req.headers['x-forwarded-for'], trusted.hasAddress) : undefined;
    const host = hostOf(req, route);
    const isUsable = host !== undefined && isHost(host);
    const origin = publicOrigin ?? (isUsable ? `${schemeOf(req, route)}://${host}` : undefined);
    return { address: route?.client ?? peer, host, origin };
  };
}

/** The path of a request through trusted proxies. */
interface Route {
  readonly client: string;
  /** The number of trusted proxies between the one that the client connected to and the registry. */
  readonly proxies: number;
}

/** Returns the host that the client used, with its port. */
function hostOf(req: IncomingMessage, route: Route | undefined): string | undefined {
  const forwarded = route === undefined ? undefined : entryOf(req.headers['x-forwarded-host'], route.proxies);
  return forwarded !== undefined && isHost(forwarded) ? forwarded : req.headers.host;
}

/** Walks `X-Forwarded-For` from the right, where each proxy appends its peer: the first untrusted address is the client. */
function walk(peer: string, header: string | string[] | undefined, isTrusted: (address: string) => boolean): Route {
  let client = peer;
  let proxies = -1;
  let rest = joined(header);
  while (rest !== '' && (proxies < 0 || isTrusted(client))) {
    const comma = rest.lastIndexOf(',');
    const address = parseAddress(rest.slice(comma + 1).trim());
    // No trusted proxy writes this: keep the last valid address.
    if (address === undefined) break;
    client = address;
    proxies++;
    rest = comma < 0 ? '' : rest.slice(0, comma);
  }
  return { client, proxies: Math.max(proxies, 0) };
}

/**
 * Returns the entry of the proxy next to the client. Proxies that append add one entry each, so it is at the same distance
 * from the right as the client's address. Proxies that keep or replace the header leave a shorter list: its first entry counts.
 */
function entryOf(header: string | string[] | undefined, proxies: number): string | undefined {
  const text = joined(header);
  if (text === '') return undefined;
  const entries = text.split(',');
  return entries[Math.max(0, entries.length - 1 - proxies)]?.trim();
}

function schemeOf(req: IncomingMessage, route: Route | undefined): 'http' | 'https' {
  const forwarded =
    route === undefined ? undefined : entryOf(req.headers['x-forwarded-proto'], route.proxies)?.toLowerCase();
  if (forwarded === 'http' || forwarded === 'https') return forwarded;
  return 'encrypted' in req.socket && req.socket.encrypted === true ? 'https' : 'http';
}

const hostPattern = /^(?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i;

/** Returns whether the text is a valid host. Strict, since it becomes part of URLs and of a quoted string in challenges. */
function isHost(text: string): boolean {
  if (text.length > 255 || !hostPattern.test(text)) return false;
  // The colons of an IPv6 address are in brackets.
  return text.endsWith(']') || !text.includes(':') || Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535;
}

/** Returns the address of the peer, or `''` if the connection is closed or a Unix socket. */
function peerOf(req: IncomingMessage): string {
  return normalizeAddress(req.socket.remoteAddress ?? '');
}

/** Parses an address as proxies write it, with an optional port, and IPv6 then in brackets. */
function parseAddress(text: string): string | undefined {
  const match = /^(?:\[(?<six>[^\]]+)\]|(?<four>[0-9.]+))(?::[0-9]{1,5})?$/.exec(text);
  const address = match?.groups?.['six'] ?? match?.groups?.['four'] ?? text;
  return isIP(address) === 0 ? undefined : normalizeAddress(address);
}

function joined(header: string | string[] | undefined): string {
  if (header === undefined) return '';
  return typeof header === 'string' ? header : header.join(',');
}
