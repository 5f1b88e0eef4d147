/**
 * The rows of the management API, one file per subject: method, path, parameters and access of each operation.
 * `../management.ts` joins them to one table.
 */
import {
  allImagesQuery,
  blobQuery,
  historyQuery,
  imageListQuery,
  manifestQuery,
  tagListQuery,
} from '../query-parameters.js';
import type { Endpoint } from '../route-table.js';

/**
 * Operations of the management API on images. Each path of an image ends in a fixed word, because an image may have any
 * name.
 */
export const imageEndpoints = [
  {
    op: 'image.listAll',
    method: 'GET',
    path: '/api/v1/images',
    access: 'browse',
    spec: 'artifactapi',
    query: allImagesQuery,
    summary: 'Lists the images of all repositories except virtual ones; `q`, `sort`, `repository`, `n`, `last`.',
  },
  {
    op: 'image.list',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images',
    access: 'browse',
    spec: 'artifactapi',
    query: imageListQuery,
    summary: 'Lists the images of a repository with sizes, pushes and pulls; `q`, `sort`, `n`, `last`.',
  },
  {
    op: 'image.tags',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/tags',
    access: 'browse',
    spec: 'artifactapi',
    query: tagListQuery,
    summary:
      'Lists the tags of an image with types, sizes, pushes and pulls, or its untagged manifests; `q`, `sort`, `n`, `last`. For a cache, those that are stored.',
  },
  {
    op: 'image.summary',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/summary',
    access: 'browse',
    spec: 'artifactapi',
    summary: 'Returns the figures of an image, with the bytes that no other image has.',
  },
  {
    op: 'image.manifest',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/manifest',
    access: 'browse',
    spec: 'artifactapi',
    query: manifestQuery,
    summary:
      'Describes the manifest of a `reference`: platforms, config, layers, referrers, and its bytes as text. For a cache, only if it is stored.',
  },
  {
    op: 'image.history',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/history',
    access: 'browse',
    spec: 'artifactapi',
    query: historyQuery,
    summary:
      'Lists the last 100 moves of a `tag`, newest first. `present` is true if the image still has the manifest.',
  },
  {
    op: 'image.blob',
    method: 'GET',
    path: '/api/v1/repositories/:repository/images/:image/blob',
    access: 'browse',
    spec: 'artifactapi',
    query: blobQuery,
    summary: 'Downloads a manifest, or a blob that a manifest of the image names, of at most 32 MiB.',
  },
  {
    op: 'image.delete',
    method: 'POST',
    path: '/api/v1/repositories/:repository/images/:image/delete',
    access: 'delete',
    spec: 'artifactapi',
    summary:
      'Deletes `tags`, `digests`, or `all` of an image; `dry_run` only reports what would be deleted, what would stay and why, and how many bytes that frees; an admin may `override` immutable tags.',
  },
  {
    op: 'image.moveTag',
    method: 'POST',
    path: '/api/v1/repositories/:repository/images/:image/tag',
    access: 'push',
    spec: 'artifactapi',
    summary:
      'Points `tag` to `reference`, a tag or digest of the image; 409 if the tag does not name `expected` (`null`: it must not exist). An admin may `override` an immutable tag.',
  },
] as const satisfies readonly Endpoint[];
