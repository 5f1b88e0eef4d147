import type { IncomingMessage } from 'node:http';
import type { ClientInfo } from '../../ports/access/access.js';
import type { BlobContent } from '../../ports/bytes.js';
import { redirectSeconds, sharesCredentials } from '../../protocol/redirects.js';
import { createAddressMatcher } from '../../util/addresses.js';
import type { Reply } from '../reply.js';
import { isUnconditional } from './offload.js';

/** Options of `createRedirects`. */
export interface RedirectOptions {
  /** The host of the object store, as clients reach it. */
  readonly hostname: string;
  /** The repositories whose blobs are redirected. Absent: all. */
  readonly repositories?: readonly string[] | undefined;
  /** The networks of clients that reach the object store. Absent: all. */
  readonly networks?: readonly string[] | undefined;
}

/** A request for a blob. */
export interface BlobRequest {
  readonly req: IncomingMessage;
  readonly client: ClientInfo;
  /** The repository that has the blob. */
  readonly repository: string;
}

/** Replaces the body of an answer with a redirect to the object store. Returns other answers unchanged. */
export type Redirects = (request: BlobRequest, reply: Reply) => Promise<Reply>;

/** The minimum size for a redirect. Smaller content is sent, because a redirect costs another request. */
const minBytes = 1024 * 1024;

/** Creates the redirects of a registry; without options, there are none. @throws RangeError for an invalid network */
export function createRedirects(options: RedirectOptions | undefined): Redirects {
  if (options === undefined) return async (_request, reply) => reply;
  const { hostname, repositories, networks } = options;
  const reaches = networks === undefined ? (): boolean => true : createAddressMatcher(networks);

  return async ({ req, client, repository }, reply) => {
    const content = largeContentOf(reply);
    if (content?.redirect === undefined || req.method !== 'GET') return reply;
    if (repositories !== undefined && !repositories.includes(repository)) return reply;
    // The object store has other entity tags.
    const { address, host } = client;
    if (!reaches(address) || !isUnconditional(req) || host === undefined) return reply;
    if (sharesCredentials(host, hostname)) return reply;
    const location = await content.redirect(redirectSeconds);
    const digest = reply.headers?.['Docker-Content-Digest'] ?? [];
    const headers = { Location: location, 'Cache-Control': 'no-store', 'Docker-Content-Digest': digest };
    return { status: 307, headers, provenance: reply.provenance };
  };
}

function largeContentOf({ body, status }: Reply): Pick<BlobContent, 'redirect'> | undefined {
  if (typeof body !== 'object' || !('content' in body) || (status !== 200 && status !== 206)) return undefined;
  return (body.length ?? 0) >= minBytes ? body.content : undefined;
}
