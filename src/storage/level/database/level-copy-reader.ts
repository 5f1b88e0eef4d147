import { copyFile, link, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Level } from 'level';
import type { ContentReference, ContentUse } from '../../../ports/operations/backup.js';
import type { Digest } from '../../../protocol/digest.js';
import { removeFolder } from '../../files/system/files.js';
import { rangeEnd, repositoryPrefix, type RepositoryId, type StoredRepository } from '../level-keys.js';
import type { SourceEntry } from '../../index-rows.js';
import { isContent, toEntry } from '../level-rows.js';
import { findUses, isReferred, readReferences } from '../level-references.js';
import { contentFilesOf, openCopy } from './level-copy.js';
import { pagesOf } from '../../../util/pages.js';

const referencesPerPage = 1000;
const ownerOnly = 0o700;

/** Reads an index of a backup without changing its files. */
export class CopiedIndexReader {
  readonly #level: Level;
  readonly #scratch: string;
  readonly #names: ReadonlyMap<RepositoryId, string>;

  private constructor(level: Level, scratch: string, names: ReadonlyMap<RepositoryId, string>) {
    this.#level = level;
    this.#scratch = scratch;
    this.#names = names;
  }

  /**
   * Opens a copy of an index. LevelDB changes what it opens, so it gets a folder of its own with links to the tables, which
   * it never changes.
   * @param scratch a folder that is created, and removed by `close`.
   * @param prepare called when the folder has the files, before it is opened.
   */
  static async open(folder: string, scratch: string, prepare?: () => Promise<void>): Promise<CopiedIndexReader> {
    await removeFolder(scratch);
    await mkdir(scratch, { recursive: true, mode: ownerOnly });
    for (const name of await contentFilesOf(folder)) {
      const [from, to] = [path.join(folder, name), path.join(scratch, name)];
      const isTable = /\.(?:ldb|sst)$/.test(name);
      if (!isTable || !(await isLinked(from, to))) await copyFile(from, to);
    }
    await prepare?.();
    const level = await openCopy(scratch, false);
    const names = new Map<RepositoryId, string>();
    const range = { gt: repositoryPrefix, lt: rangeEnd(repositoryPrefix) };
    for await (const [key, text] of level.iterator(range)) {
      // Only repositories are stored under this prefix.
      names.set((JSON.parse(text) as StoredRepository).id, key.slice(repositoryPrefix.length));
    }
    return new CopiedIndexReader(level, scratch, names);
  }

  /** Yields everything that the index refers to, in pages and in byte order of the digest. */
  references(): AsyncGenerator<readonly ContentReference[]> {
    return pagesOf(
      (page) => readReferences(this.#level, page),
      ({ digest }) => digest,
      { limit: referencesPerPage },
    );
  }

  /** Yields the content of the index, in byte order of the keys. */
  async *entries(): AsyncGenerator<SourceEntry> {
    for await (const [key, text] of this.#level.iterator({ highWaterMarkBytes: 1 << 20 })) {
      if (isContent(key)) yield toEntry(key, text);
    }
  }

  /** Returns whether the index refers to a digest. */
  has(digest: Digest): Promise<boolean> {
    return isReferred(this.#level, digest);
  }

  /** Returns what uses a digest. */
  usesOf(digest: Digest): Promise<readonly ContentUse[]> {
    return findUses(this.#level, digest, (id) => this.#names.get(id));
  }

  async close(): Promise<void> {
    await this.#level.close();
    await removeFolder(this.#scratch);
  }
}

async function isLinked(from: string, to: string): Promise<boolean> {
  return link(from, to).then(
    () => true,
    () => false,
  );
}
