import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Change, Precondition } from '../../../ports/metadata/metadata.js';
import { sql, type Executor, type Statement } from '../postgres-statement.js';
import { ImageDraft } from './drafts/image-draft.js';
import { runsOf, type LockMode } from './locks.js';

const readImages = (lock: string): Statement =>
  sql(`SELECT i.id, i.repository_id AS "repositoryId", r.name AS repository, i.name AS image,
      i.manifests, i.tags, i.links, i.trashed, i.bytes, i.updated_at AS "updatedAt", i.pushed_at AS "pushedAt"
    FROM unnest($1::text[], $2::text[]) w(repository, image)
      JOIN repository r ON r.name = w.repository AND r.deleted_at IS NULL
      JOIN image i ON i.repository_id = r.id AND i.name = w.image
    ORDER BY r.name, i.name ${lock}`);
const imageLocks = { exclusive: readImages('FOR UPDATE OF i'), shared: readImages('FOR SHARE OF i') };
const putImages = sql(`INSERT INTO image (repository_id, name) SELECT r.id, w.image
  FROM unnest($1::text[], $2::text[]) w(repository, image)
    JOIN repository r ON r.name = w.repository AND r.deleted_at IS NULL
  ORDER BY r.name, w.image ON CONFLICT DO NOTHING`);
const readRepositories = sql('SELECT id, name FROM repository WHERE name = ANY($1::text[]) AND deleted_at IS NULL');

/** The use of an image by a write. */
export interface ImageWant {
  readonly at: ImageKey;
  readonly mode: LockMode;
  /** Whether its row is inserted when it is missing. */
  readonly create: boolean;
}

interface ImageRow {
  readonly id: number;
  readonly repositoryId: number;
  readonly repository: string;
  readonly image: string;
  readonly manifests: number;
  readonly tags: number;
  readonly links: number;
  readonly trashed: number;
  readonly bytes: number;
  readonly updatedAt: number;
  readonly pushedAt: number;
}

/** Identifies an image in a map; sorts like its names. */
export function keyOf({ repository, image }: ImageKey): string {
  return `${repository}\0${image}`;
}

/** Returns the image that a change or a precondition is about. */
export function imageOf(one: Change | Precondition): ImageKey | undefined {
  if (one.type === 'candidate.put' || one.type === 'candidate.delete') {
    return one.candidate.kind === 'link' ? one.candidate.at : undefined;
  }
  return 'at' in one ? one.at : undefined;
}

/** Returns the images that a write uses. */
export function imageWants(changes: readonly Change[], require: readonly Precondition[]): Map<string, ImageWant> {
  const wants = new Map<string, ImageWant>();
  for (const precondition of require) {
    const at = imageOf(precondition);
    if (at !== undefined) wants.set(keyOf(at), { at, mode: 'shared', create: false });
  }
  for (const change of changes) {
    const at = imageOf(change);
    if (at === undefined) continue;
    const create = ['blob.link', 'manifest.put', 'candidate.put', 'tag.history'].includes(change.type);
    wants.set(keyOf(at), { at, mode: 'exclusive', create: create || wants.get(keyOf(at))?.create === true });
  }
  return wants;
}

/** Locks images. Returns those whose repository exists; those that were only required are not among them. */
export async function lockImages(
  session: Executor,
  wants: ReadonlyMap<string, ImageWant>,
): Promise<Map<string, ImageDraft>> {
  const images = new Map<string, ImageDraft>();
  const modes = new Map([...wants].map(([key, { mode }]): [string, LockMode] => [key, mode]));
  for (const { mode, keys } of runsOf(modes)) {
    const all = keys.flatMap((key) => wants.get(key) ?? []);
    await lockRun(session, mode, all, images);
    const missing = all.filter(({ at }) => !images.has(keyOf(at)));
    const toCreate = missing.filter(({ create }) => create);
    if (toCreate.length > 0) {
      await session.rows(putImages, namesOf(toCreate));
      await lockRun(session, mode, toCreate, images);
    }
    if (mode === 'exclusive' && missing.length > 0) await addEmpty(session, missing, images);
  }
  for (const [key, { mode }] of wants) if (mode === 'shared') images.delete(key);
  return images;
}

async function lockRun(
  session: Executor,
  mode: LockMode,
  wants: readonly ImageWant[],
  images: Map<string, ImageDraft>,
): Promise<void> {
  for (const row of await session.rows<ImageRow>(imageLocks[mode], namesOf(wants))) {
    const { id, repositoryId, repository, image, ...counts } = row;
    images.set(keyOf(row), new ImageDraft({ repository, image }, repositoryId, { id, counts }));
  }
}

/** Images that do not exist, in repositories that do, are empty. */
async function addEmpty(
  session: Executor,
  wants: readonly ImageWant[],
  images: Map<string, ImageDraft>,
): Promise<void> {
  const missing = wants.filter(({ at }) => !images.has(keyOf(at)));
  if (missing.length === 0) return;
  const names = missing.map(({ at }) => at.repository);
  const rows = await session.rows<{ id: number; name: string }>(readRepositories, [names]);
  const ids = new Map(rows.map(({ id, name }) => [name, id]));
  for (const { at } of missing) {
    const id = ids.get(at.repository);
    if (id !== undefined) images.set(keyOf(at), new ImageDraft(at, id));
  }
}

function namesOf(wants: readonly ImageWant[]): [string[], string[]] {
  return [wants.map(({ at }) => at.repository), wants.map(({ at }) => at.image)];
}
