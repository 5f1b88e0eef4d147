import { emptyTrashQuery, pageQuery } from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/** Operations of the management API for the trash of a repository. */
export const trashEndpoints = [
  {
    op: 'trash.list',
    method: 'GET',
    path: '/api/v1/repositories/:repository/trash',
    access: 'admin',
    spec: 'artifactapi',
    query: pageQuery,
    summary: 'Lists deleted manifests that can be restored, in the order in which they expire; `n`, `last`.',
  },
  {
    op: 'trash.restore',
    method: 'POST',
    path: '/api/v1/repositories/:repository/trash/restore',
    access: 'admin',
    spec: 'artifactapi',
    summary:
      'Restores `digest` of `image` with the manifests that it names and with its tags, or with `tags`; 409 if a tag exists again.',
  },
  {
    op: 'trash.empty',
    method: 'DELETE',
    path: '/api/v1/repositories/:repository/trash',
    access: 'admin',
    spec: 'artifactapi',
    query: emptyTrashQuery,
    summary: 'Deletes everything in the trash, optionally of one `image`; `dry_run=true` only counts.',
  },
] as const satisfies readonly Endpoint[];
