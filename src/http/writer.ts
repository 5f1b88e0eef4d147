import type { Repository, RepositoryWriter } from '../ports/repository.js';
import { RegistryError } from '../protocol/errors.js';
import type { RequestTarget } from './exchange.js';

/** Returns the writer of a target. @throws RegistryError UNSUPPORTED for a read-only repository. */
export function writerOf({ repository }: RequestTarget): RepositoryWriter {
  return repository.writer ?? refuseWrites(repository, []);
}

/**
 * Refuses a write to a read-only repository.
 * @throws RegistryError UNSUPPORTED 405, which names the repositories in `known` that accept pushes.
 */
export function refuseWrites({ config }: Repository, known: readonly Repository[]): never {
  const pushTo = known.filter(({ writer }) => writer !== undefined).map((repository) => repository.config.name);
  const advice = pushTo.length === 0 ? '' : `: push to one of ${pushTo.join(', ')}`;
  throw new RegistryError('UNSUPPORTED', {
    message: `"${config.name}" is a ${config.type} repository that does not accept pushes or deletes${advice}`,
    detail: { repository: config.name, type: config.type, pushTo },
  });
}
