import type { IncomingMessage } from 'node:http';
import type { HookGate } from '../ports/hooks.js';
import type { Caller, Repository } from '../ports/repository.js';
import type { ClientInfo } from '../ports/access/access.js';
import type { ImageKey } from '../ports/metadata/images.js';
import type { WireName } from '../protocol/names.js';
import type { RequestBody } from './bodies/body-reader.js';
import type { Reply } from './reply.js';

/** The image that a request names, resolved and permitted. */
export interface RequestTarget {
  /** The name as the client wrote it. Names and URLs in responses have the same form. */
  readonly name: WireName;
  readonly at: ImageKey;
  readonly repository: Repository;
}

/** One request, as handlers receive it. `target` is set for rows with a `:name`. */
export interface Exchange<Params> {
  readonly req: IncomingMessage;
  /** Reads the whole body, for small documents and manifests. */
  readonly body: RequestBody;
  /** The path before `/v2` in the URLs of this registry. */
  readonly prefix: string;
  /** The path as the client sent it, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly params: Params;
  readonly caller: Caller;
  readonly client: ClientInfo;
  /** Finds the manifest that a pull may get. Absent without a hook for pulls. */
  readonly pull: HookGate['pull'];
  /** Resolves when a list of about this size may be built: large ones in different turns of the event loop. */
  readonly turn: (bytes: number) => Promise<void>;
  /** Checks the permission for an image that the path does not name. @throws RegistryError when access is denied. */
  require(permission: 'pull' | 'push', at: ImageKey): Promise<void>;
  readonly target: Params extends { readonly name: WireName } ? RequestTarget : undefined;
}

/** Answers the requests of one operation. */
export type Handler<Params> = (exchange: Exchange<Params>) => Promise<Reply>;
