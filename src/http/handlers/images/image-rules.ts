import type { AccessControl } from '../../../ports/access/access.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { QuotaAdministration } from '../../../ports/metadata/quotas.js';
import type { Caller, Repository, RepositoryDirectory } from '../../../ports/repository.js';
import type { RetentionPolicy } from '../../../protocol/settings/retention-config.js';
import type { ShownRules } from '../../../protocol/tables/documents/image-documents.js';
import { mayUse } from '../../permission.js';

/** The dependencies of `readImageRules`. */
export interface ImageRuleParts {
  readonly directory: RepositoryDirectory;
  readonly access: AccessControl;
  readonly quotas: QuotaAdministration;
  /** Returns the retention policy that applies to an image. */
  policyFor(at: ImageKey): RetentionPolicy | undefined;
}

/**
 * Returns the protection and the limits of an image; for a virtual repository, those of its push target. Caches have none. Only
 * users who may push see quotas, because quotas count other images too.
 */
export async function readImageRules(
  parts: ImageRuleParts,
  { principal }: Caller,
  repository: Repository,
  name: string,
): Promise<ShownRules> {
  const { directory, access, quotas } = parts;
  const image = repository.canonicalImage(name);
  const { config } = directory.get(repository.pushTo ?? repository.config.name)?.repository ?? repository;
  if (!('immutableTags' in config)) return {};
  const target = { repository: config.name, image };
  const asked = { at: { repository: repository.config.name, image }, repository };
  const mayPush = await mayUse(access, principal, 'push', asked, `${repository.config.name}/${name}`);
  return {
    immutable: config,
    retention: parts.policyFor(target),
    quotas: mayPush ? await quotas.limiting(target) : [],
  };
}
