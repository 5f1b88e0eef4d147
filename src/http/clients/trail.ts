import { RegistryError } from '../../protocol/errors.js';

/** More registries than this in a row are a loop too. */
const maxHops = 20;

/**
 * Who passed a request on before it came here, by its `Via` header (RFC 9110, 7.6.3).
 * @throws RegistryError UNAVAILABLE 508 when we are among them: two caches that ask each other would do so for ever.
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
