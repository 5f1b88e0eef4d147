import type { Level } from 'level';
import type { JournalEntry } from '../../../../ports/metadata/journal.js';
import { repositoryConfigSchema } from '../../../../protocol/settings/repository-config.js';
import {
  journalPrefix,
  manifestKey,
  purgingPrefix,
  rangeEnd,
  repositoryKey,
  repositoryPrefix,
  splitKey,
  type Key,
  type RepositoryId,
  type StoredRepository,
} from '../../level-keys.js';
import { decodeValue } from '../../level-view.js';

/** A new record for a repository that has entries, but whose record is lost. */
export interface RecoveredRepository {
  readonly key: Key<StoredRepository>;
  readonly value: StoredRepository;
}

/**
 * Creates records for local repositories whose record is lost, so that their images can be pulled. The name comes from the
 * journal, if it is unambiguous there, or else is `recovered-<id>`; settings are the defaults. Caches get none: they fill
 * again.
 */
export async function recoverRepositories(level: Level, when: number): Promise<RecoveredRepository[]> {
  const { names, owners } = await readOwners(level);
  const lost = await findLost(level, owners);
  const found = lost.size === 0 ? new Map<RepositoryId, Set<string>>() : await readNames(level, lost);
  return [...lost].map((id) => {
    const claims = [...(found.get(id) ?? [])].filter((name) => !names.has(name));
    const isClear =
      claims.length === 1 && [...found].every(([other, set]) => other === id || !set.has(claims[0] ?? ''));
    const name = isClear ? (claims[0] ?? '') : freeName(`recovered-${id}`, names);
    names.add(name);
    const config = repositoryConfigSchema.parse({ name, type: 'local' });
    return {
      key: repositoryKey(name),
      value: { id, record: { config, origin: 'managed', createdAt: when, updatedAt: when } },
    };
  });
}

function freeName(wanted: string, names: ReadonlySet<string>): string {
  let name = wanted;
  for (let i = 2; names.has(name); i++) name = `${wanted}-${i}`;
  return name;
}

/** Returns the names of repositories, and the ids that have a record or are being purged. */
async function readOwners(level: Level): Promise<{ names: Set<string>; owners: Set<string> }> {
  const names = new Set<string>();
  const owners = new Set<string>();
  for await (const [key, text] of level.iterator({ gt: repositoryPrefix, lt: rangeEnd(repositoryPrefix) })) {
    const stored = tryDecode(text) as StoredRepository | undefined;
    if (stored === undefined) continue;
    names.add(key.slice(repositoryPrefix.length));
    owners.add(stored.id);
  }
  for await (const key of level.keys({ gt: purgingPrefix, lt: rangeEnd(purgingPrefix) })) {
    owners.add(key.slice(purgingPrefix.length));
  }
  return { names, owners };
}

/** Returns the ids of local repositories without an owner that have a manifest. Only caches note accesses. */
async function findLost(level: Level, owners: ReadonlySet<string>): Promise<Set<RepositoryId>> {
  const [holding, caches] = [new Set<string>(), new Set<string>()];
  for await (const key of level.keys()) {
    const [id, family] = splitKey(key);
    if (id === '!' || owners.has(id)) continue;
    if (family === 'manifest' || family === 'trashed') holding.add(id);
    if (family === 'touched') caches.add(id);
  }
  // The first part of a key that is not "!" is an id.
  return new Set([...holding].filter((id) => !caches.has(id)) as RepositoryId[]);
}

/** Returns the names under which the journal has manifests of these repositories. */
async function readNames(level: Level, lost: ReadonlySet<RepositoryId>): Promise<Map<RepositoryId, Set<string>>> {
  const found = new Map<RepositoryId, Set<string>>();
  for await (const text of level.values({ gt: journalPrefix, lt: rangeEnd(journalPrefix) })) {
    const { repository, image, digest } = (tryDecode(text) ?? {}) as Partial<JournalEntry>;
    if (repository === undefined || image === undefined || digest === undefined) continue;
    for (const id of lost) {
      if (level.getSync(manifestKey({ id, image }, digest)) === undefined) continue;
      const names = found.get(id) ?? new Set();
      found.set(id, names.add(repository));
    }
  }
  return found;
}

function tryDecode(text: string): unknown {
  try {
    return decodeValue(text);
  } catch {
    return undefined;
  }
}
