import { RegistryError } from '../../protocol/errors.js';

/** The maximum length of a chain of registries. A longer one is treated as a loop. */
const maxHops = 20;

/**
 * Returns the registries that forwarded a request, from its `Via` header (RFC 9110, 7.6.3).
 * @throws RegistryError UNAVAILABLE 508 when this registry is one of them: two caches would otherwise ask each other forever.
 */
export function readTrail(via: string | undefined, instanceId: string): readonly string[] {
  if (via === undefined) return [];
  const trail = via.split(',').flatMap((hop) => /^\s*[^\s]+\s+([^\s,]+)/.exec(hop)?.[1] ?? []);
  if (!trail.includes(instanceId) && trail.length <= maxHops) return trail;
  throw new RegistryError('UNAVAILABLE', {
    status: 508,
    message: 'the request came back to this registry: its upstreams form a loop',
    detail: { via: trail },
  });
}
