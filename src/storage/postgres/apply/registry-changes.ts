import { isState } from '../../state-documents.js';
import type { Change } from '../../../ports/metadata/metadata.js';
import { ConflictError } from '../../../util/conflict-error.js';
import { sql, type Executor } from '../postgres-statement.js';
import { repositoryKind } from './locks.js';
import type { RegistryDraft } from './drafts/registry-draft.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/** Changes that have a statement of their own, because they do not depend on rows of images. */
export type RegistryChange = ChangeOf<
  | 'repository.put'
  | 'repository.delete'
  | 'session.put'
  | 'session.delete'
  | 'document.put'
  | 'document.delete'
  | 'sample.put'
  | 'sample.delete'
>;

const replaceRepository = sql(`UPDATE repository SET type = $2, config = $3, origin = $4, updated_at = $5
  WHERE name = $1 AND deleted_at IS NULL RETURNING id`);
const insertRepository = sql(`INSERT INTO repository (name, type, config, origin, created_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, $5)`);
const deleteRepository = sql(
  'UPDATE repository SET deleted_at = $2 WHERE name = $1 AND deleted_at IS NULL RETURNING id',
);
const putSession = sql(`INSERT INTO upload_session (id, repository_id, image, started_at, algorithm)
  SELECT $1, r.id, $3, $4, $5 FROM repository r WHERE r.name = $2 AND r.deleted_at IS NULL
  ON CONFLICT (id) DO UPDATE SET repository_id = excluded.repository_id, image = excluded.image,
    started_at = excluded.started_at, algorithm = excluded.algorithm RETURNING id`);
const deleteSession = sql('DELETE FROM upload_session WHERE id = $1');
const putDocument = sql(`INSERT INTO document (kind, id, value) VALUES ($1, $2, $3)
  ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value RETURNING xmax = 0 AS "isNew"`);
const deleteDocument = sql('DELETE FROM document WHERE kind = $1 AND id = $2 RETURNING id');
const putSample = sql(`INSERT INTO sample (step, at, value) VALUES ($1, $2, $3)
  ON CONFLICT (step, at) DO UPDATE SET value = excluded.value`);
const deleteSample = sql('DELETE FROM sample WHERE step = $1 AND at = $2');
const bump = sql(`WITH bumped AS (UPDATE revision SET value = value + 1 WHERE kind = ANY($1::text[]) RETURNING kind)
  SELECT pg_notify('artifactapi', string_agg(kind, ' ')) FROM bumped`);

/** Makes one change. Returns the kind whose revision it raises. @throws ConflictError for a missing repository */
export function changeRegistry(
  session: Executor,
  registry: RegistryDraft,
  change: RegistryChange,
): Promise<string | undefined> {
  const { type } = change;
  if (type === 'repository.put') return storeRepository(session, registry, change);
  if (type === 'repository.delete') return dropRepository(session, registry, change);
  if (type === 'document.put' || type === 'document.delete') return changeDocument(session, registry, change);
  if (type === 'session.put' || type === 'session.delete') return changeSession(session, change);
  return changeSample(session, change);
}

/** Raises revisions, whose rows are locked, and notifies other processes when the transaction commits. */
export async function raiseRevisions(session: Executor, kinds: ReadonlySet<string>): Promise<void> {
  if (kinds.size > 0) await session.rows(bump, [[...kinds].sort()]);
}

/** Creates the error for a change in a repository that does not exist. */
export function missingRepository(name: string): ConflictError {
  return new ConflictError(`repository "${name}" does not exist`);
}

async function storeRepository(
  session: Executor,
  registry: RegistryDraft,
  { config, origin, when }: ChangeOf<'repository.put'>,
): Promise<string> {
  const values = [config.name, config.type, JSON.stringify(config), origin, when];
  const replaced = await session.rows(replaceRepository, values);
  if (replaced.length === 0) await session.rows(insertRepository, values);
  registry.record(replaced.length === 0 ? 'repository.created' : 'repository.replaced', { repository: config.name });
  return repositoryKind;
}

async function dropRepository(
  session: Executor,
  registry: RegistryDraft,
  { name, when }: ChangeOf<'repository.delete'>,
): Promise<string> {
  if ((await session.rows(deleteRepository, [name, when])).length === 0) throw missingRepository(name);
  registry.record('repository.deleted', { repository: name });
  return repositoryKind;
}

async function changeSession(
  session: Executor,
  change: ChangeOf<'session.put' | 'session.delete'>,
): Promise<undefined> {
  if (change.type === 'session.delete') await session.rows(deleteSession, [change.id]);
  else {
    const { id, at, startedAt, algorithm } = change.session;
    const rows = await session.rows(putSession, [id, at.repository, at.image, startedAt, algorithm]);
    if (rows.length === 0) throw missingRepository(at.repository);
  }
}

async function changeSample(session: Executor, change: ChangeOf<'sample.put' | 'sample.delete'>): Promise<undefined> {
  if (change.type === 'sample.delete') await session.rows(deleteSample, [change.step, change.when]);
  else await session.rows(putSample, [change.step, change.sample.at, JSON.stringify(change.sample)]);
}

async function changeDocument(
  session: Executor,
  registry: RegistryDraft,
  change: ChangeOf<'document.put' | 'document.delete'>,
): Promise<string | undefined> {
  const { kind, id } = change;
  if (change.type === 'document.delete') {
    if ((await session.rows(deleteDocument, [kind, id])).length === 0) return undefined;
    if (!isState(kind)) registry.record(`${kind}.deleted`, { id });
    return kind;
  }
  const [row] = await session.rows<{ isNew: boolean }>(putDocument, [kind, id, JSON.stringify(change.value)]);
  if (!isState(kind)) registry.record(row?.isNew === true ? `${kind}.created` : `${kind}.replaced`, { id });
  return kind;
}
