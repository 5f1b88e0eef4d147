import type { Digest } from '../protocol/digest.js';
import type { SessionId, Tag } from '../protocol/names.js';
import type {
  BlobLink,
  CacheItem,
  Candidate,
  Change,
  ImageKey,
  ImageRecord,
  ManifestRecord,
  MetadataStatus,
  MetadataStore,
  Page,
  PageRequest,
  Precondition,
  RecordKind,
  RepositoryRecord,
  SessionRecord,
  TagRecord,
} from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import { readCandidates } from './level-candidates.js';
import { recordChange } from './level-changes.js';
import { explainFailure, type IndexOptions } from './level-database.js';
import { makeFolder } from './level-folder.js';
import { LevelIndex } from './level-index.js';
import {
  checkKey,
  holderMember,
  holderPrefix,
  imageKey,
  imagePrefix,
  linkKey,
  manifestKey,
  namedPrefix,
  rangeEnd,
  recordKey,
  referrerPrefix,
  sessionKey,
  sessionPrefix,
  sinceKey,
  tagKey,
  tagPrefix,
  type Place,
  type StoredImage,
  type StoredSession,
} from './level-keys.js';
import { FolderLock } from './level-lock.js';
import { readHolders, readPage } from './level-pages.js';
import { requireAll } from './level-preconditions.js';
import { LevelPurge } from './level-purge.js';
import { sliceTags } from './level-tag-lists.js';
import { readOldest } from './level-touches.js';
import { LevelWriter } from './level-writer.js';

const defaultCacheBytes = 32 * 1024 * 1024;
/** A longer list of tags is read page by page and not kept. */
const wholeListTags = 20_000;
const emptyPage = { items: [], more: false } as const;

/** The index in a LevelDB folder, for one process. Reads of what is in memory do no I/O. */
export class LevelMetadataStore implements MetadataStore {
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #index: LevelIndex;
  readonly #writer: LevelWriter;
  readonly #purge: LevelPurge;
  #closing: Promise<void> | undefined;
  #checks = 0;

  private constructor(folder: string, lock: FolderLock, index: LevelIndex) {
    this.#folder = folder;
    this.#lock = lock;
    this.#index = index;
    this.#writer = new LevelWriter(index);
    this.#purge = new LevelPurge(index);
  }

  /** Opens the folder, and makes it where there is none. @throws Error that names the folder when somebody has it open. */
  static async open(folder: string, options: IndexOptions = {}): Promise<LevelMetadataStore> {
    await makeFolder(folder);
    const lock = await FolderLock.claim(folder);
    let index: LevelIndex | undefined;
    try {
      index = await LevelIndex.open(folder, options.cacheBytes ?? defaultCacheBytes);
      await lock.confirm();
      return new LevelMetadataStore(folder, lock, index);
    } catch (error) {
      await index?.close();
      await lock.release();
      throw explainFailure(folder, error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writer.idle();
    await this.#index.close();
    await this.#lock.release();
  }

  // -------------------------------------------------------------------------------------------- reads

  async repositories(): Promise<readonly RepositoryRecord[]> {
    return this.#open().residents.repositories();
  }

  async repository(name: string): Promise<RepositoryRecord | undefined> {
    return this.#open().residents.repository(name)?.record;
  }

  async manifest(at: ImageKey, digest: Digest): Promise<ManifestRecord | undefined> {
    const place = this.#placeOf(at);
    return place && this.#index.get(manifestKey(place, digest));
  }

  async tag(at: ImageKey, tag: Tag): Promise<TagRecord | undefined> {
    const place = this.#placeOf(at);
    return place && this.#index.get(tagKey(place, tag));
  }

  async link(at: ImageKey, digest: Digest): Promise<BlobLink | undefined> {
    const place = this.#placeOf(at);
    return place && this.#index.get(linkKey(place, digest));
  }

  async isNamed(at: ImageKey, digest: Digest): Promise<boolean> {
    const place = this.#placeOf(at);
    return place !== undefined && this.#index.hasMembers(namedPrefix(place, digest));
  }

  async tags(at: ImageKey, page: PageRequest): Promise<Page<TagRecord>> {
    const place = this.#placeOf(at);
    const count = (place && this.#index.get(imageKey(place))?.record.tags) ?? 0;
    if (place === undefined || count === 0) return emptyPage;
    const prefix = tagPrefix(place);
    const decode = (_key: string, text: string) => JSON.parse(text) as TagRecord;
    if (count > wholeListTags) return readPage(this.#index, prefix, page, decode);
    const range = { gt: prefix, lt: rangeEnd(prefix) };
    const list = await this.#index.tagLists.read(prefix, () => this.#index.scan(range, Infinity, decode));
    return sliceTags(list, page);
  }

  async image(at: ImageKey): Promise<ImageRecord | undefined> {
    const place = this.#placeOf(at);
    return place && this.#index.get(imageKey(place))?.record;
  }

  async images(repository: string, page: PageRequest): Promise<Page<ImageRecord>> {
    const id = this.#open().residents.idOf(repository);
    if (id === undefined) return emptyPage;
    return readPage(this.#index, imagePrefix(id), page, (_key, text) => {
      const { record } = JSON.parse(text) as StoredImage;
      return record.manifests > 0 ? record : undefined;
    });
  }

  async referrers(at: ImageKey, subject: Digest, page: PageRequest): Promise<Page<ManifestRecord>> {
    const place = this.#placeOf(at);
    if (place === undefined) return emptyPage;
    const prefix = referrerPrefix(place, subject);
    const found = await readPage(this.#index, prefix, page, (key) => key.slice(prefix.length) as Digest);
    const records = found.items.map((digest) => this.#index.get(manifestKey(place, digest)));
    // One that was deleted since the list was read is left out.
    return { items: records.filter((record) => record !== undefined), more: found.more };
  }

  async imagesLinking(digest: Digest, page: PageRequest): Promise<Page<ImageKey>> {
    return readHolders(this.#open(), digest, page);
  }

  async isReferenced(digest: Digest, butByLinksOf: readonly ImageKey[] = []): Promise<boolean> {
    const places = butByLinksOf.map((at) => this.#placeOf(at)).filter((place) => place !== undefined);
    const ignored = new Set(places.map((place) => holderMember('link', place)));
    const holders = await this.#open().members(holderPrefix(digest), ignored.size + 1);
    return holders.some((holder) => !ignored.has(holder));
  }

  async isCandidate(digest: Digest): Promise<boolean> {
    return this.#open().get(sinceKey({ kind: 'bytes', digest })) !== undefined;
  }

  async session(id: SessionId): Promise<SessionRecord | undefined> {
    return this.#aliveSession(this.#open().get(sessionKey(id)));
  }

  async *sessions(): AsyncGenerator<SessionRecord> {
    for await (const stored of this.#open().values(sessionPrefix)) {
      const session = this.#aliveSession(stored as StoredSession);
      if (session !== undefined) yield session;
    }
  }

  async candidates(before: number, limit: number): Promise<readonly Candidate[]> {
    return readCandidates(this.#open(), before, limit);
  }

  async evictable(
    repository: string,
    page: { readonly limit: number; readonly after?: CacheItem },
  ): Promise<readonly CacheItem[]> {
    const id = this.#open().residents.idOf(repository);
    return id === undefined ? [] : readOldest(this.#index, id, repository, page);
  }

  /** The first time it reads the images' records, while writes wait: 10,000 of them take some 20 ms. */
  async usage(repository: string): Promise<number> {
    const { residents, usage } = this.#open();
    const id = residents.idOf(repository);
    if (id === undefined) return 0;
    let total = usage.get(id);
    if (total !== undefined) return total;
    await this.#writer.run(async () => {
      if (residents.nameOf(id) !== undefined) total = await usage.load(this.#index, id);
    }, false);
    return usage.get(id) ?? total ?? 0;
  }

  async record(kind: RecordKind, id: string): Promise<object | undefined> {
    return this.#open().get(recordKey(kind, id));
  }

  async records(kind: RecordKind): Promise<readonly { readonly id: string; readonly value: object }[]> {
    return this.#open().residents.records(kind);
  }

  async condemned(): Promise<readonly Digest[]> {
    return this.#open().residents.condemned();
  }

  // -------------------------------------------------------------------------------------------- writes

  async apply(
    changes: readonly Change[],
    options: { readonly durable: boolean; readonly require?: readonly Precondition[] },
  ): Promise<void> {
    this.#open();
    // Always durable: what a later durable write puts under a new id must not outlive the record that took the id.
    const durable =
      options.durable || changes.some(({ type }) => type === 'repository.put' || type === 'repository.delete');
    await this.#writer.run(async (view) => {
      await requireAll(view, options.require ?? []);
      for (const change of changes) await recordChange(view, change);
    }, durable);
  }

  async purge(when: number): Promise<boolean> {
    const { residents } = this.#open();
    // Durable: the last step drops the note of what is to be purged, and no step before it may be undone by a power cut.
    await this.#writer.run(async (view) => {
      const [id] = residents.purging();
      if (id !== undefined) await this.#purge.step(view, id, when);
    }, true);
    this.#purge.advance();
    return residents.purging().length > 0;
  }

  async check(): Promise<void> {
    this.#checks += 1;
    const expected = this.#checks;
    this.#open();
    await this.#writer.run(async (view) => view.put(checkKey, expected), true);
    const found = this.#open().get(checkKey);
    // A later check may have overtaken this one.
    if (found === undefined || found < expected) {
      throw new RegistryError('UNAVAILABLE', { message: `the index returned ${found} instead of ${expected}` });
    }
  }

  status(): MetadataStatus {
    return { writable: true, reopens: 0 };
  }

  // -------------------------------------------------------------------------------------------- inside

  #open(): LevelIndex {
    if (this.#closing !== undefined) throw new Error(`the index ${this.#folder} is closed`);
    return this.#index;
  }

  #placeOf(at: ImageKey): Place | undefined {
    const id = this.#open().residents.idOf(at.repository);
    return id === undefined ? undefined : { id, image: at.image };
  }

  /** Sessions of a deleted repository are gone with its name, though their keys go later. */
  #aliveSession(stored: StoredSession | undefined): SessionRecord | undefined {
    if (stored === undefined) return undefined;
    return this.#index.residents.nameOf(stored.repositoryId) === undefined ? undefined : stored.session;
  }
}
