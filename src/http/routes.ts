import type { IncomingMessage } from 'node:http';
import type { RepositoryDirectory } from '../ports/repository.js';
import {
  registryRoutes,
  type RegistryEndpoint,
  type RegistryOp,
  type RegistryParams,
} from '../protocol/tables/endpoints.js';
import { managementRoots, managementRoutes, type ManagementEndpoint } from '../protocol/tables/management.js';
import type { Handler } from './exchange.js';
import type { Surface } from './core.js';
import * as blobs from './handlers/distribution/blobs.js';
import { checkVersion, createListCatalog } from './handlers/distribution/discovery.js';
import { createManagementHandlers, type ManagementActions, type ManagementParts } from './handlers/management.js';
import * as manifests from './handlers/distribution/manifests.js';
import { createGetToken, createPostToken, type TokenParts } from './handlers/distribution/token.js';
import * as uploads from './handlers/distribution/uploads.js';
import { keepLocal } from './clients/web-pages.js';

/** Creates the surface of `/v2` under the prefix. Reads the URL that the client sent, so the host may mount it anywhere. */
export function createRegistrySurface(prefix: string, parts: () => TokenParts): Surface<RegistryEndpoint> {
  const directory = (): RepositoryDirectory => parts().directory;
  const handlers: { readonly [O in RegistryOp]: Handler<RegistryParams<O>> } = {
    'version.check': checkVersion,
    'token.get': createGetToken(parts),
    'token.post': createPostToken(parts),
    'catalog.list': createListCatalog(parts),
    'upload.start': uploads.createStartUpload(directory),
    'upload.status': uploads.getUploadStatus,
    'upload.append': uploads.appendUpload,
    'upload.complete': uploads.completeUpload,
    'upload.cancel': uploads.cancelUpload,
    'blob.stat': blobs.statBlob,
    'blob.get': blobs.getBlob,
    'blob.delete': blobs.deleteBlob,
    'manifest.stat': manifests.statManifest,
    'manifest.get': manifests.getManifest,
    'manifest.put': manifests.putManifest,
    'manifest.delete': manifests.deleteManifest,
    'tag.list': manifests.listTags,
    'referrer.list': manifests.listReferrers,
  };
  return {
    routes: registryRoutes,
    handlers,
    locate: (req) => {
      const url = toOriginForm(originalUrlOf(req));
      if (!url.startsWith(prefix) || !isUnder(url.slice(prefix.length), '/v2')) return undefined;
      return { prefix, url: url.slice(prefix.length) };
    },
  };
}

/** Creates the surface of the management API. Its paths are relative to the path where the host mounts it. */
export function createManagementSurface(
  parts: () => ManagementParts,
  actions: ManagementActions,
): Surface<ManagementEndpoint> {
  return {
    routes: managementRoutes,
    audited: true,
    takesSessions: true,
    strictQuery: true,
    handlers: createManagementHandlers(parts, actions),
    locate: (req) => {
      const url = toOriginForm(req.url ?? '/');
      if (!managementRoots.some((root) => isUnder(url, root))) return undefined;
      const whole = toOriginForm(originalUrlOf(req));
      return { prefix: whole.endsWith(url) ? whole.slice(0, -url.length) : '', url };
    },
    guard: (req, row, { access, trustsSockets }) => {
      if (access.isOpen) keepLocal(req, row, trustsSockets);
    },
  };
}

/** Returns the URL that the client sent. Express and Connect strip the mount path from `url` and keep the original. */
function originalUrlOf(req: IncomingMessage): string {
  const { originalUrl } = req as IncomingMessage & { originalUrl?: string };
  return originalUrl ?? req.url ?? '/';
}

/** Returns whether the URL is the path or below it: `/v2`, `/v2/x` and `/v2?n=1`, but not `/v2.evil`. */
function isUnder(url: string, path: string): boolean {
  if (!url.startsWith(path)) return false;
  const next = url.charAt(path.length);
  return next === '' || next === '/' || next === '?';
}

/** Strips the origin of an absolute URL: `GET http://host/v2/ HTTP/1.1` is valid (RFC 9112, 3.2.2). */
function toOriginForm(url: string): string {
  if (url.startsWith('/')) return url;
  return /^https?:\/\/[^/?#]*(?<rest>[/?].*)?$/i.exec(url)?.groups?.['rest'] ?? url;
}
