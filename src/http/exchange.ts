import type { IncomingMessage } from 'node:http';
import type { Caller, Repository } from '../ports/repository.js';
import type { ClientInfo } from '../ports/access.js';
import type { ImageKey } from '../ports/images.js';
import type { WireName } from '../protocol/names.js';
import type { RequestBody } from './bodies/body-reader.js';
import type { Reply } from './reply.js';

/** The image that a request names, resolved and permitted. */
export interface Target {
  /** As the client wrote it: every name and URL in an answer has this form. */
  readonly name: WireName;
  readonly at: ImageKey;
  readonly repository: Repository;
}

/** One request as a handler sees it. Rows with a `:name` come with its target. */
export interface Exchange<Params> {
  readonly req: IncomingMessage;
  /** Reads the whole body, for small documents and manifests. */
  readonly body: RequestBody;
  /** What precedes `/v2` in the URLs of this registry. */
  readonly prefix: string;
  /** The path as the client sent it, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly params: Params;
  readonly caller: Caller;
  readonly client: ClientInfo;
  /** For images that the path does not name. @throws what refuses the access. */
  require(permission: 'pull' | 'push', at: ImageKey): Promise<void>;
  readonly target: Params extends { readonly name: WireName } ? Target : undefined;
}

export type Handler<Params> = (exchange: Exchange<Params>) => Promise<Reply>;
