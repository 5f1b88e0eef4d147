import type { Change, MetadataWriter, RepositoryRecord, RepositoryRecords } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { system } from '../util/system-actor.js';
import { isSameDocument, withoutCredentials } from './stored-config.js';

/** Returns the record of a new or changed repository. Each change has a later time than the one before. */
export function changedRecord(
  config: RepositoryConfig,
  before: RepositoryRecord | undefined,
  now: number,
  origin: RepositoryRecord['origin'] = 'managed',
): RepositoryRecord {
  const updatedAt = before === undefined ? now : Math.max(now, before.updatedAt + 1);
  return { config, origin, createdAt: before?.createdAt ?? updatedAt, updatedAt };
}

/**
 * Writes the declared repositories that changed in one step, and returns all of them. A start with unchanged declarations
 * writes nothing, so it works on a full disk and needs no sync. Code declares its repositories at each start, so their
 * secrets and functions stay out of the index. A record of an earlier declaration is reused with its content.
 */
export async function recordDeclared(
  declared: readonly RepositoryConfig[],
  { metadata, runtime }: { readonly metadata: RepositoryRecords & MetadataWriter; readonly runtime: Runtime },
): Promise<readonly RepositoryRecord[]> {
  const when = runtime.now();
  const changes: Change[] = [];
  const records: RepositoryRecord[] = [];
  for (const config of declared) {
    const kept = withoutCredentials(config);
    const before = await metadata.repository(config.name);
    const isSame = before?.origin === 'declared' && isSameDocument(before.config, kept);
    const record = isSame ? before : changedRecord(kept, before, when, 'declared');
    records.push({ ...record, config });
    if (!isSame) changes.push({ type: 'repository.put', config: kept, origin: 'declared', when: record.updatedAt });
  }
  if (changes.length > 0) await metadata.apply(changes, { durable: true, by: { actor: system, at: when } });
  return records;
}
