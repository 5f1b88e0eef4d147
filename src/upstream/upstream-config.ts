import type { Logger } from '../ports/runtime.js';
import type { Outgoing } from '../ports/upstream.js';
import type { CredentialsConfig } from './credentials/credential-source.js';

/** The URL of another registry, and how to reach it. */
export interface UpstreamConfig {
  /** An http or https URL. A path is a prefix of image names: `https://host/team` requests `/v2/team/<image>/…`. */
  readonly url: string;
  /** A callback is called before the first request, and again when the upstream refuses the credentials it returned. */
  readonly credentials?: CredentialsConfig | undefined;
  /** Timeouts, proxy, certificates and allowed targets of connections. */
  readonly outgoing: Outgoing;
  /** Hosts of realms that receive the password although their domain differs from that of `url`. @default [] */
  readonly trustedRealms?: readonly string[] | undefined;
  /** The name of this registry in `Via`. */
  readonly instanceId: string;
  readonly log: Logger;
  readonly now: () => number;
}
