import { buildPath, RouteTable, type Endpoint, type ParamsOf } from './route-table.js';
import type { Digest } from '../digest.js';
import type { Reference, SessionId, WireName } from '../names.js';
import {
  imagePageQuery,
  manifestPutQuery,
  pageQuery,
  referrerQuery,
  tokenQuery,
  uploadCompleteQuery,
  uploadStartQuery,
} from './query-parameters.js';

/**
 * Every operation under `/v2`, a row each. From this table come matching, parameter types, the access check, 405 with
 * `Allow`, the `op` of events, and docs/http-api.md. A literal segment stands above a placeholder in the same place.
 */
export const endpoints = [
  {
    op: 'version.check',
    method: 'GET',
    path: '/v2/',
    access: 'ping',
    spec: 'end-1',
    summary: 'Says that this is a registry.',
  },
  {
    op: 'version.checkHead',
    method: 'HEAD',
    path: '/v2/',
    access: 'ping',
    spec: 'end-1',
    summary: 'The same, without a body.',
  },
  {
    op: 'token.get',
    method: 'GET',
    path: '/v2/token',
    access: 'token',
    spec: 'docker token auth',
    query: tokenQuery,
    summary: 'Gives an access token for each `scope` that is allowed; `offline_token=true` a refresh token too.',
  },
  {
    op: 'token.post',
    method: 'POST',
    path: '/v2/token',
    access: 'token',
    spec: 'docker token auth (OAuth2)',
    summary: 'The same for a password or a refresh token in a form: `grant_type`.',
  },
  {
    op: 'catalog.list',
    method: 'GET',
    path: '/v2/_catalog',
    access: 'catalog',
    spec: 'extension',
    query: imagePageQuery,
    summary: 'Lists the images of all repositories; `n`, `last`.',
  },
  {
    op: 'upload.start',
    method: 'POST',
    path: '/v2/:name/blobs/uploads/',
    access: 'push',
    spec: 'end-4a, 4b, 4c, 11',
    query: uploadStartQuery,
    summary: 'Starts an upload; `digest` with the whole blob as body, `mount` and `from`, or `digest-algorithm`.',
  },
  {
    op: 'upload.status',
    method: 'GET',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-13',
    summary: 'Tells how much of an upload has arrived.',
  },
  {
    op: 'upload.statusHead',
    method: 'HEAD',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-13',
    summary: 'The same, without a body.',
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
    summary: 'Appends the rest, verifies `digest` and makes the blob visible. May be repeated for 10 minutes.',
  },
  {
    op: 'upload.cancel',
    method: 'DELETE',
    path: '/v2/:name/blobs/uploads/:session',
    access: 'push',
    spec: 'end-14',
    summary: 'Drops an upload.',
  },
  {
    op: 'blob.stat',
    method: 'HEAD',
    path: '/v2/:name/blobs/:digest',
    access: 'pull',
    spec: 'end-2',
    summary: 'Tells whether a blob is in the image, and its size.',
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
    summary: 'Takes a blob out of the image.',
  },
  {
    op: 'manifest.stat',
    method: 'HEAD',
    path: '/v2/:name/manifests/:reference',
    access: 'pull',
    spec: 'end-3',
    summary: "Tells a manifest's digest, type and size.",
  },
  {
    op: 'manifest.get',
    method: 'GET',
    path: '/v2/:name/manifests/:reference',
    access: 'pull',
    spec: 'end-3',
    summary: 'Sends a manifest as it was pushed.',
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
    summary: 'Lists the manifests that have this subject; `artifactType`, `n`, `last`.',
  },
] as const satisfies readonly Endpoint[];

export type RegistryEndpoint = (typeof endpoints)[number];
export type RegistryOp = RegistryEndpoint['op'];
export type RegistryParams<O extends RegistryOp> = ParamsOf<Extract<RegistryEndpoint, { op: O }>['path']>;

export const registryRoutes = new RouteTable<RegistryEndpoint>(endpoints);

const blobPath = '/v2/:name/blobs/:digest';
const manifestPath = '/v2/:name/manifests/:reference';
const uploadPath = '/v2/:name/blobs/uploads/:session';

/** Path-only URLs for `Location`: every client resolves them, and no proxy can make them wrong. */
export const locations = {
  blob: (name: WireName, digest: Digest): string => buildPath(blobPath, { name, digest }),
  manifest: (name: WireName, reference: Reference): string => buildPath(manifestPath, { name, reference }),
  upload: (name: WireName, session: SessionId): string => buildPath(uploadPath, { name, session }),
};
