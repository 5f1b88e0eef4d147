import type { Explanation } from '../../ports/repository.js';
import type { Upstream } from '../../ports/upstream.js';

type State = Pick<Explanation, 'problem' | 'breaker'> & { readonly upstream: string };

/** Returns the part of an explanation about the upstream: refused credentials, and the circuit breaker unless it is closed. */
export function explainUpstream(upstream: Upstream, image: string): State {
  const { host, breaker } = upstream;
  const refusal = upstream.refusalFor(image);
  return {
    upstream: host,
    ...(refusal === undefined ? {} : { problem: refusal }),
    ...(breaker.state === 'closed' ? {} : { breaker }),
  };
}
