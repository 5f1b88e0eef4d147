import type { IncomingMessage } from 'node:http';
import { relative, resolve, sep } from 'node:path';
import type { BlobContent } from '../../ports/bytes.js';
import { createAddressMatcher, normalizeAddress } from '../../util/addresses.js';
import type { Reply } from '../reply.js';

export interface OffloadOptions {
  /** The header that the proxy in front understands. Absent: we send all bytes ourselves. */
  readonly sendfile?: 'x-accel' | 'x-sendfile' | undefined;
  readonly trustedProxies: readonly string[];
  /** The folder that nginx has as `accelLocation`. */
  readonly blobsFolder?: string | undefined;
}

/** Has the proxy send the content of a reply, if it is one that does and the content is a file; else the same reply. */
export type Offload = (req: IncomingMessage, reply: Reply) => Reply;

/** nginx's internal location for the folder of blobs, as adapters/nginx has it. */
export const accelLocation = '/artifactapi-blobs/';

/**
 * Conditions that the web server would judge by what it knows of the file, which is neither our entity tag nor a time that
 * means anything. Such requests are rare: we answer them ourselves.
 */
const conditions = ['if-match', 'if-modified-since', 'if-range', 'if-unmodified-since'];

/** What every web server understands as we do. */
const plainRange = /^bytes=(?:[0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15})$/;

/** @throws RangeError for a trusted proxy that is no address. */
export function createOffload({ sendfile, trustedProxies, blobsFolder }: OffloadOptions): Offload {
  if (sendfile === undefined) return (_req, reply) => reply;
  const isTrusted = createAddressMatcher(trustedProxies);
  const instruct = sendfile === 'x-accel' ? createAccel(blobsFolder) : sendFileHeader;

  return (req, reply) => {
    const { body, headers } = reply;
    if (typeof body !== 'object' || !('content' in body)) return reply;
    if (!isProxy(req, isTrusted) || !isPlain(req, reply)) return reply;
    const offload = instruct(body.content);
    if (offload === undefined) return reply;
    return { ...reply, headers: withoutFileHeaders(headers), body: { ...body, offload } };
  };
}

/** Without what the web server says of the file itself, or must not say when it cannot read it. */
function withoutFileHeaders(headers: Reply['headers'] = {}): NonNullable<Reply['headers']> {
  const { 'Accept-Ranges': _unit, 'Cache-Control': _caching, 'Content-Range': _range, ...rest } = headers;
  return rest;
}

/** A proxy says for whom it asks. A client on the proxy's own machine, which does not, wants the bytes. */
function isProxy({ headers, socket }: IncomingMessage, isTrusted: (address: string) => boolean): boolean {
  return headers['x-forwarded-for'] !== undefined && isTrusted(normalizeAddress(socket.remoteAddress ?? ''));
}

/** What we answer with the whole although a range was asked for, as for an empty blob, a web server may refuse. */
function isPlain({ headers }: IncomingMessage, { status }: Reply): boolean {
  if (conditions.some((name) => headers[name] !== undefined)) return false;
  return headers.range === undefined || (status === 206 && plainRange.test(headers.range));
}

type Instruct = (content: BlobContent) => Readonly<Record<string, string>> | undefined;

/** Names of blobs are hex: nothing needs to be escaped. */
function createAccel(blobsFolder: string | undefined): Instruct {
  return ({ path }) => {
    if (path === undefined || blobsFolder === undefined) return undefined;
    const inside = relative(blobsFolder, path).split(sep).join('/');
    return inside.startsWith('../') ? undefined : { 'X-Accel-Redirect': accelLocation + inside };
  };
}

function sendFileHeader({ path }: BlobContent): Readonly<Record<string, string>> | undefined {
  return path === undefined ? undefined : { 'X-Sendfile': resolve(path) };
}
