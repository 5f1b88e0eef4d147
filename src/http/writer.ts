import type { RepositoryWriter } from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import type { Target } from './exchange.js';

/** @throws RegistryError UNSUPPORTED 405 when nothing can be written to the repository. */
export function writerOf({ repository }: Target): RepositoryWriter {
  if (repository.writer !== undefined) return repository.writer;
  throw new RegistryError('UNSUPPORTED', {
    message: `nothing can be pushed to or deleted from '${repository.config.name}': it is a ${repository.config.type} repository`,
  });
}
