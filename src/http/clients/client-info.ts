import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { ClientInfo } from '../../ports/access.js';
import { createAddressMatcher, normalizeAddress } from '../../util/addresses.js';

export interface ClientReaderOptions {
  /** Addresses and networks of the proxies in front of us: what they say of a client is believed. */
  readonly trustedProxies: readonly string[];
  /** Where clients reach the registry: `https://registry.example`. Absent: what each request says. */
  readonly publicUrl?: string | undefined;
}

/** Tells who a request is from and what it calls us. */
export type ClientReader = (req: IncomingMessage) => ClientInfo;

/**
 * Reads clients off requests. `X-Forwarded-For`, `-Proto` and `-Host` count when the connection comes from a trusted proxy,
 * which has to set or drop each of them; from anybody else they are ignored. `Forwarded` always is: a proxy that sets the
 * others passes it on as the client wrote it. So is `X-Forwarded-Port`: a port that matters is in the client's `Host`.
 * @throws RangeError for a trusted proxy that is no address; TypeError for a URL that is none.
 */
export function createClientReader({ trustedProxies, publicUrl }: ClientReaderOptions): ClientReader {
  const isTrusted = createAddressMatcher(trustedProxies);
  const publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin;

  return (req) => {
    const peer = peerOf(req);
    const route = isTrusted(peer) ? walk(peer, req.headers['x-forwarded-for'], isTrusted) : undefined;
    const host = hostOf(req, route);
    const isUsable = host !== undefined && isHost(host);
    const origin = publicOrigin ?? (isUsable ? `${schemeOf(req, route)}://${host}` : undefined);
    return { address: route?.client ?? peer, host, origin };
  };
}

/** How a request came through trusted proxies. */
interface Route {
  readonly client: string;
  /** How many trusted proxies stand between the one that the client is connected to, and us. */
  readonly proxies: number;
}

/** As repositories are addressed by it, with its port. */
function hostOf(req: IncomingMessage, route: Route | undefined): string | undefined {
  const forwarded = route === undefined ? undefined : entryOf(req.headers['x-forwarded-host'], route.proxies);
  return forwarded !== undefined && isHost(forwarded) ? forwarded : req.headers.host;
}

/** From the right, as each proxy adds whom it was asked by: the first that is not trusted is the client. */
function walk(peer: string, header: string | string[] | undefined, isTrusted: (address: string) => boolean): Route {
  let client = peer;
  let proxies = -1;
  let rest = joined(header);
  while (rest !== '' && (proxies < 0 || isTrusted(client))) {
    const comma = rest.lastIndexOf(',');
    const address = parseAddress(rest.slice(comma + 1).trim());
    // What a trusted proxy did not write: the last that is sure stands for it.
    if (address === undefined) break;
    client = address;
    proxies++;
    rest = comma < 0 ? '' : rest.slice(0, comma);
  }
  return { client, proxies: Math.max(proxies, 0) };
}

/**
 * What the proxy next to the client said. Proxies that add to a list add one each, so it is as far from the right as the
 * client's address is; those that pass on what they got, or replace it, leave a shorter list, of which the first is meant.
 */
function entryOf(header: string | string[] | undefined, proxies: number): string | undefined {
  const text = joined(header);
  if (text === '') return undefined;
  const entries = text.split(',');
  return entries[Math.max(0, entries.length - 1 - proxies)]?.trim();
}

function schemeOf(req: IncomingMessage, route: Route | undefined): 'http' | 'https' {
  const said =
    route === undefined ? undefined : entryOf(req.headers['x-forwarded-proto'], route.proxies)?.toLowerCase();
  if (said === 'http' || said === 'https') return said;
  return 'encrypted' in req.socket && req.socket.encrypted === true ? 'https' : 'http';
}

const hostPattern = /^(?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]{2,45}\])(?::(?<port>[0-9]{1,5}))?$/i;

/** Strict: it goes into URLs and into the quotes of a challenge. */
function isHost(text: string): boolean {
  if (text.length > 255) return false;
  const match = hostPattern.exec(text);
  return match !== null && Number(match.groups?.['port'] ?? 0) <= 65_535;
}

/** `''` for a connection that is closed or has none, as on a Unix socket. */
function peerOf(req: IncomingMessage): string {
  return normalizeAddress(req.socket.remoteAddress ?? '');
}

/** An address as proxies write it: some add the port, and then IPv6 is in brackets. */
function parseAddress(text: string): string | undefined {
  const match = /^(?:\[(?<six>[^\]]+)\]|(?<four>[0-9.]+))(?::[0-9]{1,5})?$/.exec(text);
  const address = match?.groups?.['six'] ?? match?.groups?.['four'] ?? text;
  return isIP(address) === 0 ? undefined : normalizeAddress(address);
}

function joined(header: string | string[] | undefined): string {
  if (header === undefined) return '';
  return typeof header === 'string' ? header : header.join(',');
}
