import type { Repository } from '../../../ports/repository.js';
import { RegistryError } from '../../../protocol/errors.js';
import { parseName, parseTag } from '../../../protocol/names.js';
import { problemsFound } from '../../../protocol/tables/documents/encoding.js';
import { encodeContent, readDryRun } from './dry-run.js';

/** Purges a cache, or counts what a purge would delete. @throws RegistryError UNSUPPORTED for another repository. */
export async function purgeCache(repository: Repository, query: URLSearchParams): Promise<Record<string, unknown>> {
  const { name } = repository.config;
  if (repository.purge === undefined || repository.previewPurge === undefined) {
    const message = `repository "${name}" is not a cache: purge applies to remote repositories with cache: true`;
    throw new RegistryError('UNSUPPORTED', { message });
  }
  const [image, tag] = [query.get('image'), query.get('tag')];
  if (tag !== null && image === null) throw problemsFound([{ path: 'image', problem: 'is required with tag' }]);
  const of = [
    image === null ? undefined : repository.canonicalImage(parseName(image)),
    tag === null ? undefined : parseTag(tag),
  ] as const;
  if (readDryRun(query)) return encodeContent(await repository.previewPurge(...of));
  const { manifests, blobs, tags } = await repository.purge(...of);
  return { manifests, blobs, tags };
}
