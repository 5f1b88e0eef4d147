import type { IncomingMessage } from 'node:http';
import { relative, resolve, sep } from 'node:path';
import type { BlobContent } from '../../ports/bytes.js';
import { createTrustedProxies, type TrustedProxies } from '../clients/trusted-proxies.js';
import type { Reply } from '../reply.js';

/** Options of `createOffload`. */
export interface OffloadOptions {
  /** The header that the reverse proxy supports. Absent: the registry sends all bytes itself. */
  readonly sendfile?: 'x-accel' | 'x-sendfile' | undefined;
  readonly trustedProxies: readonly string[];
  /** The folder that nginx serves at `accelLocation`. */
  readonly blobsFolder?: string | undefined;
}

/** Adds the headers that make the reverse proxy send the file of a reply. Returns other replies unchanged. */
export type Offload = (req: IncomingMessage, reply: Reply) => Reply;

/** The internal location of the blobs folder in nginx, as configured in adapters/nginx. */
export const accelLocation = '/artifactapi-blobs/';

/**
 * Conditions that the proxy would evaluate with its own entity tag and the modification time of the file, which differ from
 * ours. Such requests are rare, so the registry answers them itself.
 */
const conditions = ['if-match', 'if-modified-since', 'if-range', 'if-unmodified-since'];

/** A single range, which all web servers interpret alike. */
const plainRange = /^bytes=(?:[0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15})$/;

/** Creates the offload of a registry. @throws RangeError for a trusted proxy that is not an address or network. */
export function createOffload({ sendfile, trustedProxies, blobsFolder }: OffloadOptions): Offload {
  if (sendfile === undefined) return (_req, reply) => reply;
  const trusted = createTrustedProxies(trustedProxies);
  const instruct = sendfile === 'x-accel' ? createAccel(blobsFolder) : sendFileHeader;

  return (req, reply) => {
    const { body, headers } = reply;
    if (typeof body !== 'object' || !('content' in body)) return reply;
    if (!isProxy(req, trusted) || !isPlain(req, reply)) return reply;
    const offload = instruct(body.content);
    if (offload === undefined) return reply;
    return { ...reply, headers: withoutFileHeaders(headers), body: { ...body, offload } };
  };
}

/** Removes headers that the proxy sets itself, or that must not accompany its error when it cannot read the file. */
function withoutFileHeaders(headers: Reply['headers'] = {}): NonNullable<Reply['headers']> {
  const { 'Accept-Ranges': _unit, 'Cache-Control': _caching, 'Content-Range': _range, ...rest } = headers;
  return rest;
}

/** Returns whether the request comes from the proxy. A client on the same machine as the proxy sends no `X-Forwarded-For`. */
function isProxy(req: IncomingMessage, trusted: TrustedProxies): boolean {
  return req.headers['x-forwarded-for'] !== undefined && trusted.sent(req);
}

/** Returns whether a request has no conditions. Another server would evaluate them differently. */
export function isUnconditional({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return conditions.every((name) => headers[name] === undefined);
}

/**
 * Returns whether a proxy would send the same response. If the registry ignores a range, such as of an empty blob, a proxy
 * may refuse it.
 */
function isPlain({ headers }: IncomingMessage, { status }: Reply): boolean {
  if (!isUnconditional({ headers })) return false;
  return headers.range === undefined || (status === 206 && plainRange.test(headers.range));
}

type Instruct = (content: Pick<BlobContent, 'path'>) => Readonly<Record<string, string>> | undefined;

/** Creates the header for nginx. Blob file names are hex, so they do not need escaping. */
function createAccel(blobsFolder: string | undefined): Instruct {
  return ({ path }) => {
    if (path === undefined || blobsFolder === undefined) return undefined;
    const inside = relative(blobsFolder, path).split(sep).join('/');
    return inside.startsWith('../') ? undefined : { 'X-Accel-Redirect': accelLocation + inside };
  };
}

function sendFileHeader({ path }: Pick<BlobContent, 'path'>): Readonly<Record<string, string>> | undefined {
  return path === undefined ? undefined : { 'X-Sendfile': resolve(path) };
}
