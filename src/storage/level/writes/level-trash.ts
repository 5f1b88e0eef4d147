/** Restores manifests from the trash and deletes them from it. */
import type { Change } from '../../../ports/metadata/metadata.js';
import { ConflictError } from '../../../util/conflict-error.js';
import { putCandidate } from '../derived/level-candidates.js';
import type { Place } from '../level-keys.js';
import { trashedKey } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';
import type { JournalRecorder } from './level-journal.js';
import { putManifest, releaseReferences } from './level-manifest-changes.js';
import { relink, takeTrash } from './level-trash-records.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/**
 * Restores a manifest, with its deleted links and without its tags.
 * @throws ConflictError when it is not in the trash.
 */
export async function restoreTrash(
  view: LevelView,
  place: Place,
  { at, digest }: ChangeOf<'trash.restore'>,
  journal: JournalRecorder,
): Promise<void> {
  const item = view.get(trashedKey(place, digest));
  if (item === undefined) throw new ConflictError(`${digest} is not in the trash of image "${place.image}"`);
  await relink(view, place, item.manifest);
  await putManifest(view, place, { type: 'manifest.put', at, manifest: item.manifest }, journal.silent);
  journal.record('manifest.restored', { ...at, digest });
}

/** Deletes a manifest from the trash. Leaves candidates for the content that only it kept. */
export async function deleteTrash(
  view: LevelView,
  place: Place,
  { at, digest, since, deletedAt }: ChangeOf<'trash.delete'>,
  journal: JournalRecorder,
): Promise<void> {
  // It may have been restored and deleted again since it was listed.
  const listed = view.get(trashedKey(place, digest));
  if (deletedAt !== undefined && listed?.deletedAt !== deletedAt) return;
  const item = await takeTrash(view, place, digest, since);
  if (item === undefined) return;
  journal.record('manifest.purged', { ...at, digest });
  putCandidate(view, { kind: 'bytes', digest }, since);
  await releaseReferences(view, place, item.manifest.references, since);
}
