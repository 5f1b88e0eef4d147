import type { Endpoint } from './route-table.js';

/** Operations of the management API on one image. Each path ends in a fixed word, because a tag may be named `tags`. */
export const imageEndpoints = [
  {
    op: 'image.delete',
    method: 'POST',
    path: '/api/v1/repositories/:repository/images/:image/delete',
    access: 'delete',
    spec: 'artifactapi',
    summary:
      'Deletes `tags`, `digests`, or `all` of an image; `dry_run` only reports what goes, what stays and why, and how many bytes it frees.',
  },
  {
    op: 'image.moveTag',
    method: 'POST',
    path: '/api/v1/repositories/:repository/images/:image/tag',
    access: 'push',
    spec: 'artifactapi',
    summary:
      'Points `tag` to `reference`, a tag or digest of the image; 409 if the tag does not name `expected`. `null`: it must not exist.',
  },
] as const satisfies readonly Endpoint[];
