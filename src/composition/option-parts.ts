import { blobsFolderOf } from './open-stores.js';
import { createOffload } from '../http/bodies/offload.js';
import { createClientReader } from '../http/clients/client-info.js';
import { createHostMatcher } from '../http/clients/web-pages.js';
import type { AuthenticateHost } from '../http/core.js';
import { defaultPace } from '../http/limits/pace.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { AccessControl } from '../ports/access.js';
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
    readClient: createClientReader(options),
    authenticateHost: authenticateHostOf(options),
    trustsSockets: options.trustedProxies.includes(unixProxies),
    isKnownHost: createHostMatcher(options),
  };
}

function authenticateHostOf({ access }: ResolvedOptions): AuthenticateHost | undefined {
  // The schema checks only that it is a function: zod cannot check its signature.
  return typeof access === 'string' ? undefined : (access.authenticate as AuthenticateHost | undefined);
}
