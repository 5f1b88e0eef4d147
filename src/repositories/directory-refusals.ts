import { RegistryError } from '../protocol/errors.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { checkTogether } from '../protocol/settings/repository-graph.js';
import { problemsFound } from '../protocol/tables/management.js';
import { toWirePath } from '../protocol/tables/spelling.js';

/** Returns the error for a name that is in use. */
export function nameTaken(name: string): RegistryError {
  return new RegistryError('CONFLICT', { message: `repository "${name}" already exists`, detail: { name } });
}

/** @throws RegistryError CONFLICT when virtual repositories have the repository as a member. */
export function refuseMember(name: string, configs: readonly RepositoryConfig[]): void {
  const detail = configs
    .filter((config) => config.type === 'virtual' && config.members.some((member) => member.name === name))
    .map((config) => config.name);
  if (detail.length === 0) return;
  throw new RegistryError('CONFLICT', { message: `repository "${name}" is a member of ${detail.join(', ')}`, detail });
}

/**
 * Checks a repository together with the existing ones.
 * @throws RegistryError OPTIONS_INVALID that lists every problem: unknown members, cycles and so on.
 */
export function refuseMisfits(config: RepositoryConfig, configs: readonly RepositoryConfig[]): void {
  const all = [config, ...configs.filter(({ name }) => name !== config.name)];
  const problems = checkTogether(all, (i) => (i === 0 ? '' : `(${all[i]?.name ?? ''}) `));
  if (problems.length === 0) return;
  throw problemsFound(problems.map(({ path, problem }) => ({ path: toWirePath(path), problem })));
}
