import type { StoredContent } from '../../../ports/metadata/images.js';
import { problemsFound } from '../../../protocol/tables/documents/encoding.js';

/** Returns whether a request should only count. @throws RegistryError OPTIONS_INVALID */
export function readDryRun(query: URLSearchParams): boolean {
  const dryRun = query.get('dry_run') ?? 'false';
  if (dryRun === 'true' || dryRun === 'false') return dryRun === 'true';
  throw problemsFound([{ path: 'dry_run', problem: 'must be "true" or "false"' }]);
}

/** Returns what would be deleted as the API shows it. */
export function encodeContent({ images, tags, manifests, bytes }: StoredContent): Record<string, unknown> {
  return { images, tags, manifests, size_bytes: bytes };
}
