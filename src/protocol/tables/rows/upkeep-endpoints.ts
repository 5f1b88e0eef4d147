import { pageQuery } from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/**
 * Operations of the management API for upkeep: the status, the quarantine, damaged blobs, and the reload of the
 * configuration.
 */
export const upkeepEndpoints = [
  {
    op: 'status.get',
    method: 'GET',
    path: '/api/v1/status',
    access: 'browse',
    spec: 'artifactapi',
    summary:
      'Reports stored and reclaimable bytes and the figures of each repository; to users who may monitor also disk, trash, and problems with advice.',
  },
  {
    op: 'quarantine.list',
    method: 'GET',
    path: '/api/v1/quarantine',
    access: 'admin',
    spec: 'artifactapi',
    query: pageQuery,
    summary: 'Lists the blobs in quarantine, which the index does not reference; `n`, `last`.',
  },
  {
    op: 'quarantine.restore',
    method: 'POST',
    path: '/api/v1/quarantine/restore',
    access: 'admin',
    spec: 'artifactapi',
    summary:
      'Restores `digests`, or `all`. Restored blobs are deleted after the grace period unless something references them.',
    change: 'quarantine.restored',
  },
  {
    op: 'quarantine.delete',
    method: 'DELETE',
    path: '/api/v1/quarantine/:digest',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Deletes a quarantined blob now: 204; 409 if the index references it.',
    change: 'quarantine.deleted',
  },
  {
    op: 'damage.list',
    method: 'GET',
    path: '/api/v1/damage',
    access: 'monitor',
    spec: 'artifactapi',
    summary: 'Lists damaged blobs that have not been healed yet, with the images and tags that need them.',
  },
  {
    op: 'options.reload',
    method: 'POST',
    path: '/api/v1/reload',
    access: 'admin',
    spec: 'artifactapi',
    summary:
      'Reads the configuration file again and applies it: 200 with what changed; 409 if it has problems, or needs a restart.',
    change: 'options.reloaded',
  },
] as const satisfies readonly Endpoint[];
