import type { Repository, RepositoryWriter } from '../ports/repository.js';
import { RegistryError } from '../protocol/errors.js';
import type { Target } from './exchange.js';

/** The writer of a repository that takes writes, as was made sure of before. */
export function writerOf({ repository }: Target): RepositoryWriter {
  return repository.writer ?? refuseWrites(repository, []);
}

/** @throws RegistryError UNSUPPORTED 405: nothing can be written to it; and to which of the known ones it can. */
export function refuseWrites({ config }: Repository, known: readonly Repository[]): never {
  const pushTo = known.filter(({ writer }) => writer !== undefined).map((repository) => repository.config.name);
  const advice = pushTo.length === 0 ? '' : `: push to one of ${pushTo.join(', ')}`;
  throw new RegistryError('UNSUPPORTED', {
    message: `'${config.name}' is a ${config.type} repository that takes no pushes or deletes${advice}`,
    detail: { repository: config.name, type: config.type, pushTo },
  });
}
