import type { IncomingMessage } from 'node:http';
import type { AccessControl, ClientInfo } from '../ports/access.js';
import type { RepositoryDirectory } from '../ports/repository.js';
import type { Endpoint, RouteTable } from '../protocol/tables/route-table.js';
import type { CustomerCounts } from '../util/customer-counts.js';
import type { BodyReader } from './bodies/body-reader.js';
import type { Offload } from './bodies/offload.js';
import type { HostMatcher } from './clients/web-pages.js';
import type { Handler } from './exchange.js';
import type { PaceLimits } from './limits/pace.js';
import type { RateLimiter } from './limits/rate-limit.js';
import type { Passthrough } from './passthrough/passthrough.js';

/** A part of the URL space: its table of endpoints and what answers each. */
export interface Surface<Row extends Endpoint> {
  readonly routes: RouteTable<Row>;
  readonly handlers: Readonly<Record<Row['op'], Handler<never>>>;
  /** The part of a request's URL that the table is matched against, or `undefined` when the request is not ours. */
  locate(req: IncomingMessage): Location | undefined;
  /** Throws when the request must not be answered at all. */
  guard?(req: IncomingMessage, row: Row): void;
  /** Whether query parameters that the table does not name are refused. */
  readonly strictQuery?: boolean;
  /** Whether the log tells who changed what. */
  readonly audited?: boolean;
}

/** Where a request is, for a surface: what precedes its own part of the URL, and that part. */
export interface Location {
  readonly prefix: string;
  readonly url: string;
}

/** What the event of a request tells of how far it came. */
export interface Seen {
  op: string;
  principal: string;
  clientAddress: string;
}

/** Runs when the request is answered. */
export type Leave = () => void;

/** What handlers are given to work with, once the registry is open. */
export interface Core {
  readonly access: AccessControl;
  readonly directory: RepositoryDirectory;
  readonly passthrough: Passthrough;
  /** Our name in `Via`. */
  readonly instanceId: string;
  readonly rates: RateLimiter;
  /** How slowly bodies may come. */
  readonly uploadPace: PaceLimits;
  /** How slowly answers may be read. */
  readonly downloadPace: PaceLimits;
  /** Requests that are being answered, by client. */
  readonly clients: CustomerCounts;
  /** Has the proxy in front send files. */
  readonly offload: Offload;
  /** Reads small documents and manifests. */
  readonly bodies: BodyReader;
  readClient(req: IncomingMessage): ClientInfo;
  /** Where pages of an open registry may come from. */
  readonly isKnownHost: HostMatcher;
}

/** Opens on the first request and from then on at once. */
export interface CoreSource {
  readonly opened: Core | undefined;
  ready(): Promise<Core>;
  /** Told of every request while it is answered: a registry closes when none is left. */
  track(answered: Promise<void>): void;
}
