import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AccessControl, ClientInfo, Principal } from '../ports/access/access.js';
import type { AuditTrail } from '../ports/operations/audit.js';
import type { HookGate } from '../ports/hooks.js';
import type { PulledManifest } from '../ports/operations/webhooks.js';
import type { HostIdentity } from '../protocol/settings/access-settings.js';
import type { RepositoryDirectory } from '../ports/repository.js';
import type { RunningRequest } from '../ports/runtime.js';
import type { Endpoint, RouteTable } from '../protocol/tables/route-table.js';
import type { CustomerCounts } from '../util/scheduling/customer-counts.js';
import type { BodyReader } from './bodies/body-reader.js';
import type { Offload } from './bodies/offload.js';
import type { Redirects } from './bodies/redirects.js';
import type { HostMatcher } from './clients/web-pages.js';
import type { Handler } from './exchange.js';
import type { LargeAnswers } from './limits/large-answers.js';
import type { PaceLimits } from './limits/pace.js';
import type { RateLimiter } from './limits/rate-limit.js';
import type { Passthrough } from './passthrough/passthrough.js';

/** A part of the URL space: its table of endpoints and their handlers. */
export interface Surface<Row extends Endpoint> {
  readonly routes: RouteTable<Row>;
  readonly handlers: Readonly<Record<Row['op'], Handler<never>>>;
  /** Splits the URL of a request. Returns `undefined` for a request that belongs to the host. */
  locate(req: IncomingMessage): Location | undefined;
  /** Refuses requests before authentication. @throws RegistryError */
  guard?(req: IncomingMessage, row: Row, core: Core): void;
  /** Whether to refuse query parameters that the table does not list. */
  readonly strictQuery?: boolean;
  /**
   * Whether session cookies authenticate requests. Only for the management API: docker and other clients keep cookies.
   */
  readonly takesSessions?: boolean;
  /** Whether to log who changed what. */
  readonly audited?: boolean;
}

/** The URL of a request, split where the part of a surface begins. */
export interface Location {
  readonly prefix: string;
  /** Matched against the table of the surface. */
  readonly url: string;
}

/** Facts for the log and the `request` event, filled in as the request proceeds. */
export interface RequestFacts {
  readonly id: string;
  op: string;
  principal: string;
  clientAddress: string;
  /** The kind of authentication, once it is known. */
  via: Principal['via'] | undefined;
  /** The change that the operation makes, if the journal does not record it. */
  change: string | undefined;
  /** Set when the request counts as one of its client's. */
  leave: Leave | undefined;
}

/** A request on its way through a surface. */
export interface Arrival {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly location: Location;
  readonly facts: RequestFacts;
}

/** Called once the request is answered. */
export type Leave = () => void;

/** The parts of an open registry that serve requests. */
export interface Core {
  readonly access: AccessControl;
  readonly directory: RepositoryDirectory;
  readonly passthrough: Passthrough;
  /** Asks the host application before a pull. */
  readonly hooks: Pick<HookGate, 'pull'>;
  /** Absent without an audit file. */
  readonly audit?: AuditTrail | undefined;
  /** Called when a manifest was sent. Never waits and never throws. */
  onPulled(pulled: PulledManifest): void;
  /** Our name in `Via`. */
  readonly instanceId: string;
  readonly rates: RateLimiter;
  /** Minimum transfer rate of request bodies. */
  readonly uploadPace: PaceLimits;
  /** Minimum rate at which clients must read responses. */
  readonly downloadPace: PaceLimits;
  /** Requests in progress, by client. */
  readonly clients: CustomerCounts;
  /** Lets the reverse proxy send files. */
  readonly offload: Offload;
  /** Sends clients to the object store for blobs. */
  readonly redirects: Redirects;
  /** Reads small documents and manifests. */
  readonly bodies: BodyReader;
  /** Limits the answers that are built in memory. */
  readonly answers: LargeAnswers;
  readClient(req: IncomingMessage): ClientInfo;
  /** Calls the host application's `authenticate` option. */
  readonly authenticateHost?: AuthenticateHost | undefined;
  /** Whether `trustedProxies` includes the Unix sockets. */
  readonly trustsSockets: boolean;
  /** Matches the hosts whose pages may use an open registry. */
  readonly isKnownHost: HostMatcher;
}

/** Returns the user of a request whom the host application has identified, if any. */
export type AuthenticateHost = (
  req: IncomingMessage,
) => HostIdentity | null | undefined | Promise<HostIdentity | null | undefined>;

/** Provides the core of a registry that may still be opening. */
export interface CoreSource {
  /** The core, once the registry is open. */
  readonly opened: Core | undefined;
  /** Waits until the registry is open. */
  ready(): Promise<Core>;
  /**
   * Tracks a request until its promise settles: closing the registry waits for all of them.
   * @param request the request that the metrics count as in progress.
   */
  track(answered: Promise<void>, request?: RunningRequest): void;
}
