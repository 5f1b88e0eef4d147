import type { Logger } from '../../ports/runtime.js';
import type { Outgoing } from '../../ports/upstream.js';
import { findOutgoingProxy } from './outgoing-proxy.js';
import { createTargetPolicy } from './target-policy.js';

/** The connection settings in the configuration of an upstream or a token issuer. */
export interface OutgoingConfig extends Pick<Outgoing, 'ca' | 'connectTimeoutMs' | 'responseTimeoutMs'> {
  readonly url: URL;
  /** Private addresses that redirects and realms may lead to. @default the host of `url` alone */
  readonly allowPrivateTargets?: boolean | readonly string[] | undefined;
  /** The URL of an outgoing proxy. @default HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide */
  readonly proxy?: string | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

/** Builds the settings of connections from a configuration. */
export function createOutgoing(config: OutgoingConfig): Outgoing {
  const { url, allowPrivateTargets, proxy, ca, connectTimeoutMs, responseTimeoutMs, log } = config;
  return {
    targets: createTargetPolicy({ configured: url, allow: allowPrivateTargets, log }),
    ca,
    findProxy: (target) => proxy ?? findOutgoingProxy(target),
    connectTimeoutMs,
    responseTimeoutMs,
  };
}
