/**
 * The index in LevelDB. This file implements the port; `level-keys.ts` draws the keys, `writes/` writes them,
 * `level-pages.ts` reads lists. Imported by storage/ only.
 */
import type { Digest } from '../../protocol/digest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import type { Document, DocumentKind } from '../../ports/metadata/documents.js';
import type {
  BlobLink,
  CacheItem,
  Candidate,
  CandidateOptions,
  Change,
  MetadataStore,
  RepositoryRecord,
  SessionRecord,
  TagRecord,
  WriteOptions,
} from '../../ports/metadata/metadata.js';
import type { MetadataStatus } from '../../ports/metadata/index-status.js';
import type {
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ImageRecord,
  ManifestRecord,
} from '../../ports/metadata/images.js';
import type { ExceededUsage } from '../../ports/metadata/quotas.js';
import type { Page, PageRequest } from '../../ports/pages.js';
import { RegistryError } from '../../protocol/errors.js';
import { Semaphore } from '../../util/scheduling/concurrency.js';
import { resultOf } from '../conflicts.js';
import { LevelTrash } from './derived/level-trash-lists.js';
import { LevelInventory, type ReadIndex } from './derived/level-inventory.js';
import { LevelSizes } from './derived/level-sizes.js';
import { LevelPulls } from './derived/level-pulls.js';
import { LevelSamples } from './derived/level-samples.js';
import { isCandidate, readCandidates } from './derived/level-candidates.js';
import { recordChanges } from './writes/level-changes.js';
import { LevelContents } from './level-contents.js';
import { LevelIndex } from './level-index.js';
import { defaultCacheBytes, type LevelMetadataStoreOptions } from './level-options.js';
import {
  checkKey,
  holderMember,
  holderPrefix,
  imageKey,
  imagePrefix,
  linkKey,
  manifestKey,
  documentKey,
  sessionKey,
  tagKey,
  type Place,
  type StoredSession,
} from './level-keys.js';
import { LevelLedger } from './level-ledger.js';
import { readHolders, readImages, readReferrerPage, readTagPage } from './level-pages.js';
import { listSessions, readSessions, type ReadSessions } from './level-sessions.js';
import { requireAll } from './writes/level-preconditions.js';
import { LevelJournal, readLastEntry } from './writes/level-journal.js';
import { LevelPurge } from './writes/level-purge.js';
import { readOldest } from './writes/level-touches.js';
import { LevelWriter } from './writes/level-writer.js';

const emptyPage = { items: [], more: false } as const;

/** The index in a LevelDB folder, for one process. Reads of data in memory do no I/O. */
export class LevelMetadataStore implements MetadataStore {
  readonly #folder: string;
  readonly #knowsPlaces: boolean;
  readonly #index: LevelIndex;
  readonly #writer: LevelWriter;
  readonly #purge: LevelPurge;
  readonly journal: LevelJournal;
  readonly trash = new LevelTrash((work) => this.#read(work));
  readonly contents = new LevelContents({ index: () => this.#open(), writer: () => this.#writer });
  readonly samples = new LevelSamples((work) => this.#read(work));
  readonly pulls = new LevelPulls((at, work) => this.#readPlace(at, work));
  /** For a blob store in an object store. */
  readonly ledger: LevelLedger;
  readonly inventory: LevelInventory;
  readonly sizes: LevelSizes;
  /** Records with annotations take long to parse: only so many reads end in one turn of the event loop. */
  readonly #referrerReads = new Semaphore(4);
  #closing: Promise<void> | undefined;
  #checks = 0;

  private constructor(folder: string, index: LevelIndex, lastEntry: number, knowsPlaces: boolean) {
    this.#folder = folder;
    this.#knowsPlaces = knowsPlaces;
    this.#index = index;
    this.#writer = new LevelWriter(index);
    this.#purge = new LevelPurge(index);
    const read: ReadIndex = (work) => this.#read(work);
    this.ledger = new LevelLedger({ read, writer: this.#writer });
    this.sizes = new LevelSizes(index, this.#writer);
    this.inventory = new LevelInventory({ index, read, writer: this.#writer });
    this.journal = new LevelJournal({ index, read, writer: this.#writer, lastEntry });
  }

  /**
   * Opens the folder; creates it if it does not exist.
   * @throws IndexDamageError when the index is lost or damaged; nothing was changed.
   * @throws Error that names the folder when another process has it open, or when it cannot be opened.
   */
  static async open(folder: string, options: LevelMetadataStoreOptions = {}): Promise<LevelMetadataStore> {
    const index = await LevelIndex.open(folder, options.cacheBytes ?? defaultCacheBytes, options);
    return new LevelMetadataStore(folder, index, await readLastEntry(index), options.knowsPlaces === true);
  }

  close(): Promise<void> {
    this.#closing ??= this.#writer.idle().then(() => this.#index.close());
    return this.#closing;
  }

  async repositories(): Promise<readonly RepositoryRecord[]> {
    return this.#open().residents.repositories();
  }

  async repository(name: string): Promise<RepositoryRecord | undefined> {
    return this.#open().residents.repository(name)?.record;
  }

  manifest(at: ImageKey, digest: Digest): Promise<ManifestRecord | undefined> {
    return this.#readPlace(at, (place, index) => index.get(manifestKey(place, digest)));
  }

  tag(at: ImageKey, tag: Tag): Promise<TagRecord | undefined> {
    return this.#readPlace(at, (place, index) => index.get(tagKey(place, tag)));
  }

  taggedManifest(at: ImageKey, tag: Tag): Promise<ManifestRecord | undefined> {
    return this.#readPlace(at, (place, index) => {
      const found = index.get(tagKey(place, tag));
      return found && index.get(manifestKey(place, found.digest));
    });
  }

  link(at: ImageKey, digest: Digest): Promise<BlobLink | undefined> {
    return this.#readPlace(at, (place, index) => index.get(linkKey(place, digest)));
  }

  async isNamed(at: ImageKey, digest: Digest): Promise<boolean> {
    return (await this.#readPlace(at, (place, index) => index.isNamed(place, digest))) ?? false;
  }

  async tags(at: ImageKey, page: PageRequest): Promise<Page<TagRecord>> {
    return (await this.#readPlace(at, (place, index) => readTagPage(index, place, page))) ?? emptyPage;
  }

  image(at: ImageKey): Promise<ImageRecord | undefined> {
    return this.#readPlace(at, (place, index) => index.get(imageKey(place))?.record);
  }

  async images(repository: string, page: ImagePageRequest): Promise<ImagePage> {
    const id = this.#open().residents.idOf(repository);
    if (id === undefined) return emptyPage;
    return this.#read((index) => readImages(index, imagePrefix(id), page));
  }

  async referrers(at: ImageKey, subject: Digest, page: PageRequest): Promise<Page<ManifestRecord>> {
    const read = () => this.#readPlace(at, (place, index) => readReferrerPage(index, place, subject, page));
    return (await this.#referrerReads.run(read)) ?? emptyPage;
  }

  async imagesLinking(digest: Digest, page: PageRequest): Promise<Page<ImageKey>> {
    return this.#read((index) => readHolders(index, digest, page));
  }

  async isReferenced(digest: Digest, exceptLinksOf: readonly ImageKey[] = []): Promise<boolean> {
    const places = exceptLinksOf.map((at) => this.#placeOf(at)).filter((place) => place !== undefined);
    const ignored = new Set(places.map((place) => holderMember('link', place)));
    const holders = await this.#read((index) => index.members(holderPrefix(digest), ignored.size + 1));
    return holders.some((holder) => !ignored.has(holder));
  }

  async isCandidate(digest: Digest): Promise<boolean> {
    return this.#read((index) => isCandidate(index, digest));
  }

  async session(id: SessionId): Promise<SessionRecord | undefined> {
    return this.#read((index) => this.#aliveSession(index.get(sessionKey(id))));
  }

  sessions(): AsyncGenerator<SessionRecord> {
    const read: ReadSessions = (after, limit) => this.#read((index) => readSessions(index, after, limit));
    return listSessions(read, (stored) => this.#aliveSession(stored));
  }

  async candidates(before: number, limit: number, { after }: CandidateOptions = {}): Promise<readonly Candidate[]> {
    return this.#read((index) => readCandidates(index, before, limit, after));
  }

  async evictable(repository: string, page: Parameters<MetadataStore['evictable']>[1]): Promise<readonly CacheItem[]> {
    const id = this.#open().residents.idOf(repository);
    return id === undefined ? [] : this.#read((index) => readOldest(index, id, repository, page));
  }

  async usage(repository: string): Promise<number> {
    const id = this.#open().residents.idOf(repository);
    return id === undefined ? 0 : this.sizes.ofRepository(id);
  }

  async document(kind: DocumentKind, id: string): Promise<object | undefined> {
    return this.#open().get(documentKey(kind, id));
  }

  async documents(kind: DocumentKind): Promise<readonly Document[]> {
    return this.#open().residents.documents(kind);
  }

  async documentRevision(kind: DocumentKind): Promise<number> {
    return this.#open().residents.documentRevision(kind);
  }

  async condemned(): Promise<readonly Digest[]> {
    return this.#open().residents.condemned();
  }

  async tryApply(changes: readonly Change[], options: WriteOptions): Promise<boolean> {
    return (await this.applyWithin(changes, options)) === true;
  }

  applyWithin(changes: readonly Change[], options: WriteOptions): Promise<boolean | ExceededUsage> {
    return resultOf(this.apply(changes, options));
  }

  async apply(changes: readonly Change[], options: WriteOptions): Promise<void> {
    this.#open();
    // Always durable: a later durable write under a new id must not outlive the record that assigned the id.
    const durable =
      options.durable || changes.some(({ type }) => type === 'repository.put' || type === 'repository.delete');
    await this.#writer.run(async (view) => {
      await requireAll(view, options.require ?? [], this.#knowsPlaces);
      await recordChanges(view, changes, this.journal.recorder(view, options.by));
      await this.sizes.require(view, options.require ?? []);
    }, durable);
  }

  async purge(when: number): Promise<boolean> {
    const { residents } = this.#open();
    // Durable: a power cut must not undo a step before the last one, which forgets what is left to purge.
    await this.#writer.run(async (view) => {
      const [id] = residents.purging();
      if (id !== undefined) await this.#purge.step(view, id, when);
    }, true);
    this.#purge.advance();
    return residents.purging().length > 0;
  }

  async check(): Promise<void> {
    const expected = ++this.#checks;
    this.#open();
    await this.#writer.run(async (view) => view.put(checkKey, expected), true);
    const found = await this.#read((index) => index.get(checkKey));
    if (found === undefined || found < expected) {
      throw new RegistryError('UNAVAILABLE', { message: `the index returned "${found}" instead of "${expected}"` });
    }
  }

  status(): MetadataStatus {
    return this.#index.database.status();
  }

  #open(): LevelIndex {
    if (this.#closing !== undefined) throw this.#closed();
    return this.#index;
  }

  #closed(): Error {
    return new Error(`the index ${this.#folder} is closed`);
  }

  /** Reads from memory or the disk. Waits while the index is being reopened. Never throws: the promise rejects. */
  #read<T>(work: (index: LevelIndex) => T | Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(this.#closed());
    return this.#index.database.read(() => work(this.#index));
  }

  /** Returns `undefined` when the repository does not exist. */
  #readPlace<T>(at: ImageKey, work: (place: Place, index: LevelIndex) => T | Promise<T>): Promise<T | undefined> {
    return this.#read((index) => {
      const place = this.#placeOf(at);
      return place && work(place, index);
    });
  }

  #placeOf(at: ImageKey): Place | undefined {
    const id = this.#index.residents.idOf(at.repository);
    return id === undefined ? undefined : { id, image: at.image };
  }

  /** Hides sessions of deleted repositories: they disappear with the name, though their keys are removed later. */
  #aliveSession(stored: StoredSession | undefined): SessionRecord | undefined {
    if (stored === undefined) return undefined;
    return this.#index.residents.nameOf(stored.repositoryId) === undefined ? undefined : stored.session;
  }
}
