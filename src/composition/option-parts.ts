import { blobsFolderOf } from './stores/open-stores.js';
import { createOffload } from '../http/bodies/offload.js';
import { createRedirects, type RedirectOptions } from '../http/bodies/redirects.js';
import { createClientReader } from '../http/clients/client-info.js';
import { createHostMatcher } from '../http/clients/web-pages.js';
import type { AuthenticateHost } from '../http/core.js';
import { defaultPace } from '../http/limits/pace.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import { isBucketStorage, redirectHostOf } from '../options/storage-schema.js';
import type { AccessControl } from '../ports/access/access.js';
import { unixProxies } from '../util/addresses.js';

/** Creates the parts that follow from the options alone. A reload creates them again. */
export function partsOf(options: ResolvedOptions, access: AccessControl) {
  const { minBytesPerSecond, minDownloadBytesPerSecond } = options.limits;
  return {
    access,
    administration: access.administration,
    uploadPace: { ...defaultPace, minBytesPerSecond },
    downloadPace: { ...defaultPace, minBytesPerSecond: minDownloadBytesPerSecond },
    offload: createOffload({ ...options, blobsFolder: blobsFolderOf(options.storage) }),
    redirects: createRedirects(redirectsOf(options)),
    readClient: createClientReader(options),
    authenticateHost: authenticateHostOf(options),
    trustsSockets: options.trustedProxies.includes(unixProxies),
    isKnownHost: createHostMatcher(options),
  };
}

function redirectsOf({ storage }: ResolvedOptions): RedirectOptions | undefined {
  if (!isBucketStorage(storage) || !storage.blobs.s3.redirect) return undefined;
  const { redirectRepositories: repositories, redirectNetworks: networks } = storage.blobs.s3;
  return { hostname: redirectHostOf(storage.blobs.s3), repositories, networks };
}

function authenticateHostOf({ access }: ResolvedOptions): AuthenticateHost | undefined {
  // The schema checks only that it is a function: zod cannot check its signature.
  return typeof access === 'string' ? undefined : (access.authenticate as AuthenticateHost | undefined);
}
