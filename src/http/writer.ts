import type { Repository, RepositoryDirectory, RepositoryWriter } from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import type { Target } from './exchange.js';

/** The writer of a repository that takes writes, as `refuseWrites` has made sure of. */
export function writerOf({ repository }: Target): RepositoryWriter {
  if (repository.writer !== undefined) return repository.writer;
  throw unsupported(repository, []);
}

/** @throws RegistryError UNSUPPORTED 405 when nothing can be written to the repository; it says where to push. */
export function refuseWrites(repository: Repository, directory: RepositoryDirectory): void {
  if (repository.writer !== undefined) return;
  const writable = directory.list().filter((entry) => entry.repository.writer !== undefined);
  throw unsupported(
    repository,
    writable.map((entry) => entry.repository.config.name),
  );
}

function unsupported({ config }: Repository, pushTo: readonly string[]): RegistryError {
  const advice = pushTo.length === 0 ? '' : `: push to one of ${pushTo.join(', ')}`;
  return new RegistryError('UNSUPPORTED', {
    message: `'${config.name}' is a ${config.type} repository that takes no pushes or deletes${advice}`,
    detail: { repository: config.name, type: config.type, pushTo },
  });
}
