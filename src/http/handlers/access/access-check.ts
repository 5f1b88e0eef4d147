import type { AccessAdministration, AccessFinding, AccessReport, AccessTarget } from '../../../ports/access/access.js';
import type { Repository, RepositoryDirectory } from '../../../ports/repository.js';
import { RegistryError } from '../../../protocol/errors.js';
import { parseName } from '../../../protocol/names.js';
import { decodeAccessCheck, encodeFinding } from '../../../protocol/tables/access-check.js';
import type { Permission } from '../../../protocol/settings/access-config.js';
import { jsonReply, type Reply } from '../../reply.js';

/** The dependencies of `checkAccess`. */
export interface AccessCheckParts {
  readonly administration: AccessAdministration;
  readonly directory: Pick<RepositoryDirectory, 'get' | 'resolve'>;
}

/**
 * Reports what the rules allow a person on an image, a repository or the registry. Pushes to a virtual repository and
 * deletes need the permission on its push target too, as in `permittedActions`.
 */
export async function checkAccess(
  { administration, directory }: AccessCheckParts,
  query: URLSearchParams,
): Promise<Reply> {
  const { permissions, ...person } = decodeAccessCheck(query);
  const { at, repository } = findSubject(directory, query.get('image'));
  const report = await administration.check(person, at);
  const target = repository?.pushTo;
  const atTarget = target === undefined ? undefined : await administration.check(person, { ...at, repository: target });
  const findings = permissions.map((permission) => [permission, encodeFinding(join(permission, report, atTarget))]);
  return jsonReply(200, {
    user: person.user ?? null,
    groups: report.groups,
    ...(at === undefined ? {} : { repository: at.repository }),
    ...(at?.image === undefined ? {} : { image: at.image }),
    ...(Object.fromEntries(findings) as object),
  });
}

/** @throws RegistryError NAME_UNKNOWN for an unknown repository: a misspelt name must not look forbidden. */
function findSubject(
  directory: AccessCheckParts['directory'],
  name: string | null,
): { readonly at?: AccessTarget['at']; readonly repository?: Repository | undefined } {
  if (name === null) return {};
  const whole = directory.get(name);
  if (whole !== undefined) return { at: { repository: name }, repository: whole.repository };
  const { at, repository } = directory.resolve(parseName(name));
  if (repository === undefined) throw new RegistryError('NAME_UNKNOWN', { detail: { name } });
  return { at, repository };
}

function join(permission: Permission, report: AccessReport, atTarget: AccessReport | undefined): AccessFinding {
  const found = report.findings[permission];
  const isWrite = permission === 'push' || permission === 'delete';
  if (atTarget === undefined || !found.allowed || !isWrite) return found;
  const there = atTarget.findings[permission];
  return there.allowed ? { allowed: true, by: [...new Set([...found.by, ...there.by])] } : there;
}
