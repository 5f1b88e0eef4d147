import type { Endpoint } from '../route-table.js';

/** Operations of the management API for syncs. Jobs of the kind `sync` run them. */
export const syncEndpoints = [
  {
    op: 'sync.list',
    method: 'GET',
    path: '/api/v1/syncs',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Lists syncs with the state of their last run.',
  },
  {
    op: 'sync.create',
    method: 'POST',
    path: '/api/v1/syncs',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Creates a sync: 201; 409 if the name is taken.',
  },
  {
    op: 'sync.get',
    method: 'GET',
    path: '/api/v1/syncs/:sync',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Returns a sync with the report of its last run.',
  },
  {
    op: 'sync.replace',
    method: 'PUT',
    path: '/api/v1/syncs/:sync',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Replaces the settings of a sync.',
  },
  {
    op: 'sync.delete',
    method: 'DELETE',
    path: '/api/v1/syncs/:sync',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Deletes a sync, but not what it copied: 204.',
  },
] as const satisfies readonly Endpoint[];
