import { buildPath, RouteTable, type Endpoint, type ParamsOf } from './route-table.js';
import type { Digest } from '../digest.js';
import type { Reference, SessionId, WireName } from '../names.js';
import {
  imagePageQuery,
  namespaceQuery,
  manifestPutQuery,
  pageQuery,
  referrerQuery,
  tokenQuery,
  uploadCompleteQuery,
  uploadStartQuery,
} from './query-parameters.js';

/**
 * All operations under `/v2`, one row each. The table determines matching, parameter types, access checks, 405 with `Allow`,
 * the `op` of events, and docs/http-api.md. A literal segment takes precedence over a placeholder in the same position.
 */
export const endpoints = [
  {
    op: 'version.check',
    method: 'GET',
    path: '/v2/',
    access: 'ping',
    spec: 'end-1',
    summary: 'Confirms that this is a registry.',
  },
  {
    op: 'token.get',
    method: 'GET',
    path: '/v2/token',
    access: 'token',
    spec: 'docker token auth',
    query: tokenQuery,
    summary:
      'Returns an access token for the permitted part of each `scope`; with `offline_token=true` also a refresh token.',
  },
  {
    op: 'token.post',
    method: 'POST',
    path: '/v2/token',
    access: 'token',
    spec: 'docker token auth (OAuth2)',
    summary: 'Returns the same for a form with `grant_type` and a password or refresh token.',
  },
  {
    op: 'catalog.list',
    method: 'GET',
    path: '/v2/_catalog',
    access: 'catalog',
    spec: 'extension',
    query: [...imagePageQuery, namespaceQuery],
    summary: 'Lists the images of all repositories, or of the one that the host or `ns` addresses; `n`, `last`.',
  },
  {
    op: 'upload.start',
    method: 'POST',
    path: '/v2/:name/blobs/uploads/',
    access: 'push',
    spec: 'end-4a, 4b, 4c, 11',
    query: uploadStartQuery,
    summary: 'Starts an upload, stores a whole blob (`digest`), or mounts one from another image (`mount`, `from`).',
  },
  {
    op: 'upload.status',
    method: 'GET',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-13',
    summary: 'Reports the progress of an upload.',
  },
  {
    op: 'upload.append',
    method: 'PATCH',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-5',
    summary: 'Appends a stream, or a chunk with `Content-Range`.',
  },
  {
    op: 'upload.complete',
    method: 'PUT',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-6',
    query: uploadCompleteQuery,
    summary: 'Appends the rest, verifies `digest` and publishes the blob. Can be repeated for 10 minutes.',
  },
  {
    op: 'upload.cancel',
    method: 'DELETE',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-14',
    summary: 'Cancels an upload.',
  },
  {
    op: 'blob.stat',
    method: 'HEAD',
    path: '/v2/:name/blobs/:digest',
    access: 'pull',
    spec: 'end-2',
    summary: 'Reports whether a blob is in the image, and its size.',
  },
  {
    op: 'blob.get',
    method: 'GET',
    path: '/v2/:name/blobs/:digest',
    access: 'pull',
    spec: 'end-2',
    summary: 'Sends a blob, or a `Range` of it.',
  },
  {
    op: 'blob.delete',
    method: 'DELETE',
    path: '/v2/:name/blobs/:digest',
    access: 'delete',
    spec: 'end-10',
    summary: 'Removes a blob from the image.',
    change: 'blob.deleted',
  },
  {
    op: 'manifest.stat',
    method: 'HEAD',
    path: '/v2/:name/manifests/:reference',
    access: 'pull',
    spec: 'end-3',
    summary: 'Reports the digest, type and size of a manifest.',
  },
  {
    op: 'manifest.get',
    method: 'GET',
    path: '/v2/:name/manifests/:reference',
    access: 'pull',
    spec: 'end-3',
    summary: 'Sends a manifest as pushed.',
  },
  {
    op: 'manifest.put',
    method: 'PUT',
    path: '/v2/:name/manifests/:reference',
    access: 'push',
    spec: 'end-7a, 7b',
    query: manifestPutQuery,
    summary: 'Stores a manifest under a tag, or under its digest and each `tag`.',
  },
  {
    op: 'manifest.delete',
    method: 'DELETE',
    path: '/v2/:name/manifests/:reference',
    access: 'delete',
    spec: 'end-9',
    summary: 'Deletes a tag, or a manifest with all its tags.',
  },
  {
    op: 'tag.list',
    method: 'GET',
    path: '/v2/:name/tags/list',
    access: 'pull',
    spec: 'end-8a, 8b',
    query: pageQuery,
    summary: 'Lists tags in byte order; `n`, `last`.',
  },
  {
    op: 'referrer.list',
    method: 'GET',
    path: '/v2/:name/referrers/:digest',
    access: 'pull',
    spec: 'end-12a, 12b',
    query: referrerQuery,
    summary: 'Lists the manifests whose subject is this digest; `artifactType`, `n`, `last`.',
  },
] as const satisfies readonly Endpoint[];

/** An operation under `/v2`. */
export type RegistryEndpoint = (typeof endpoints)[number];
/** The name of an operation under `/v2`. */
export type RegistryOp = RegistryEndpoint['op'];
/** The path parameters of an operation under `/v2`. */
export type RegistryParams<O extends RegistryOp> = ParamsOf<Extract<RegistryEndpoint, { op: O }>['path']>;

/** Matches requests under `/v2`. */
export const registryRoutes = new RouteTable<RegistryEndpoint>(endpoints);

const blobPath = '/v2/:name/blobs/:digest';
const manifestPath = '/v2/:name/manifests/:reference';
const uploadPath = '/v2/:name/blobs/uploads/:session';

/**
 * Builds the URLs for `Location`. They have only a path, which all clients resolve, so they are valid behind any proxy.
 */
export const locations = {
  blob: (name: WireName, digest: Digest): string => buildPath(blobPath, { name, digest }),
  manifest: (name: WireName, reference: Reference): string => buildPath(manifestPath, { name, reference }),
  upload: (name: WireName, session: SessionId): string => buildPath(uploadPath, { name, session }),
};
