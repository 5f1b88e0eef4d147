import type { ContentRecords, ContentReference, ContentUse, ImageRecount, WorkOptions } from '../../ports/backup.js';
import type { ImageKey } from '../../ports/images.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import { copyIndex, type CopiedIndex } from './database/level-copy.js';
import type { LevelIndex } from './level-index.js';
import { recountImage } from './level-recount.js';
import { findUses, readReferences } from './level-references.js';

const emptyPage = { items: [], more: false } as const;

/** Reads what the index refers to, and copies it as a whole. */
export class LevelContents implements ContentRecords {
  readonly #open: () => LevelIndex;

  /** @param open returns the index. @throws Error once it is closed */
  constructor(open: () => LevelIndex) {
    this.#open = open;
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

  /** Writes the index as it is now into a new folder, while it is read and written. */
  copyTo(folder: string, work: WorkOptions): Promise<CopiedIndex> {
    return copyIndex(this.#open().database, folder, work);
  }
}
