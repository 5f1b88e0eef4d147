import type {
  ContentRecords,
  ContentReference,
  ContentUse,
  ImageRecount,
  WorkOptions,
} from '../../ports/operations/backup.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import { copyIndex, type CopiedIndex } from './database/level-copy.js';
import { LevelImport, type LevelParts } from './level-import.js';
import type { LevelIndex } from './level-index.js';
import { recountImage } from './level-recount.js';
import { findUses, readReferences } from './level-references.js';

const emptyPage = { items: [], more: false } as const;

/** Reads what the index refers to, and copies or replaces it as a whole. */
export class LevelContents implements ContentRecords {
  readonly #open: () => LevelIndex;

  readonly importer: LevelImport;

  constructor({ index, writer }: LevelParts) {
    this.#open = index;
    this.importer = new LevelImport({ index, writer });
  }

  async references({
    repository,
    after,
    limit,
  }: PageRequest & { readonly repository?: string | undefined }): Promise<Page<ContentReference>> {
    const { residents, database } = this.#open();
    const id = repository === undefined ? undefined : residents.idOf(repository);
    if (repository !== undefined && id === undefined) return emptyPage;
    return database.read(() => readReferences(database.level, { limit, after, repository: id }));
  }

  async usesOf(digest: Digest): Promise<readonly ContentUse[]> {
    const { residents, database } = this.#open();
    return database.read(() => findUses(database.level, digest, (id) => residents.nameOf(id)));
  }

  async recount(at: ImageKey): Promise<ImageRecount | undefined> {
    const { residents, database } = this.#open();
    const id = residents.idOf(at.repository);
    return id === undefined ? undefined : database.read(() => recountImage(database.level, at, id));
  }

  /** Writes the current state of the index into a new folder, while the index is read and written. */
  copyTo(folder: string, work: WorkOptions): Promise<CopiedIndex> {
    return copyIndex(this.#open().database, folder, work);
  }
}
