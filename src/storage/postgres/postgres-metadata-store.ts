import type { Digest } from '../../protocol/digest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import type { Document, DocumentKind } from '../../ports/metadata/documents.js';
import type {
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ImageRecord,
  ManifestRecord,
} from '../../ports/metadata/images.js';
import type { MetadataStatus } from '../../ports/metadata/index-status.js';
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
import type { Page, PageRequest } from '../../ports/pages.js';
import type { ExceededUsage, ImageSizes } from '../../ports/metadata/quotas.js';
import { resultOf } from '../conflicts.js';
import { applyChanges } from './apply/apply.js';
import { purgeDeleted } from './apply/purge.js';
import { sumSizes } from './apply/quotas.js';
import { WriteOrder } from './apply/write-order.js';
import { migrate, readSchema } from './migrations/migrations.js';
import { checkWrites } from './postgres-check.js';
import { PostgresDocuments } from './postgres-documents.js';
import { PostgresImport } from './postgres-import.js';
import { PostgresLedger } from './postgres-ledger.js';
import { PostgresPool, type PoolOptions } from './postgres-pool.js';
import { PostgresSharing } from './postgres-sharing.js';
import { Revisions } from './postgres-revisions.js';
import type { Executor, Statement } from './postgres-statement.js';
import { ContentReads } from './reads/content-reads.js';
import { GarbageReads } from './reads/garbage-reads.js';
import { JournalReads, PullReads, SampleReads, TrashReads } from './reads/history-reads.js';
import { ImageReads } from './reads/image-reads.js';
import { InventoryReads } from './reads/inventory-reads.js';
import { RegistryReads } from './reads/registry-reads.js';

/** Options of the index. */
export interface PostgresOptions extends PoolOptions {
  /** A URL that bypasses the pooler, for notifications. False: polls only. @default `url` */
  readonly listenUrl?: string | false;
  /**
   * How long rules, users, keys and other documents in memory are trusted while the database does not answer, in seconds.
   * @default 30
   */
  readonly maxStaleSeconds?: number;
  /** Runs missing migrations. @default false */
  readonly migrate?: boolean;
  /**
   * Whether the ledger of the index has the places of all bytes: then the precondition `bytes` asks it.
   * @default true
   */
  readonly knowsPlaces?: boolean;
  /** The number of parts of each large table; fixed by the first migration. @default 16 */
  readonly partitions?: number;
}

/**
 * Changes that a crash of the database server may lose: the next pass of the collector or of a cache repeats them.
 */
const repeatable: ReadonlySet<Change['type']> = new Set([
  'cache.touched',
  'manifest.pulled',
  'candidate.put',
  'candidate.delete',
  'bytes.forget',
]);

/** The index in a PostgreSQL database, which any number of processes may share. */
export class PostgresMetadataStore implements MetadataStore {
  readonly #pool: PostgresPool;
  readonly #order = new WriteOrder();
  readonly #revisions: Revisions;
  readonly #documents: PostgresDocuments;
  readonly #images: ImageReads;
  readonly #registry: RegistryReads;
  readonly #garbage: GarbageReads;
  readonly #knowsPlaces: boolean;
  /** The ledger of a blob store in an object store. */
  readonly ledger: PostgresLedger;
  readonly shared: PostgresSharing;
  readonly inventory: InventoryReads;
  readonly journal: JournalReads;
  readonly pulls: PullReads;
  readonly samples: SampleReads;
  readonly trash: TrashReads;
  readonly contents: ContentReads;
  readonly sizes: ImageSizes;
  readonly importer: PostgresImport;
  #closing: Promise<void> | undefined;

  private constructor(pool: PostgresPool, storeId: string, options: PostgresOptions) {
    this.#pool = pool;
    this.#knowsPlaces = options.knowsPlaces ?? true;
    this.ledger = new PostgresLedger(pool, storeId);
    const reader: Executor = {
      rows: <T extends object>(statement: Statement, values?: readonly unknown[]) =>
        this.#open().rows<T>(statement, values),
    };
    this.shared = new PostgresSharing(reader, () => this.#revisions.poll());
    const { listenUrl = options.url, maxStaleSeconds = 30 } = options;
    this.#revisions = new Revisions(pool, {
      listenUrl: listenUrl === false ? undefined : listenUrl,
      maxStaleMs: maxStaleSeconds * 1000,
      now: () => performance.now(),
      onChange: (kinds) => {
        this.#documents.forget(kinds);
        this.shared.announce(kinds);
      },
    });
    this.#documents = new PostgresDocuments(reader, this.#revisions);
    this.#images = new ImageReads(reader);
    this.#registry = new RegistryReads(reader);
    this.#garbage = new GarbageReads(reader);
    this.inventory = new InventoryReads(reader);
    this.journal = new JournalReads(reader, pool);
    this.pulls = new PullReads(reader);
    this.samples = new SampleReads(reader);
    this.trash = new TrashReads(reader);
    this.contents = new ContentReads(reader);
    this.importer = new PostgresImport(pool);
    this.sizes = { total: (names) => sumSizes(reader, names) };
  }

  /**
   * Connects to the database.
   * @throws Error when it has no schema or another than this release needs; RegistryError UNAVAILABLE when it is away.
   */
  static async open(options: PostgresOptions): Promise<PostgresMetadataStore> {
    const pool = await PostgresPool.create(options);
    try {
      if (options.migrate === true) await migrate(pool, options);
      const { storeId } = await readSchema(pool);
      const store = new PostgresMetadataStore(pool, storeId, options);
      await store.#revisions.start();
      return store;
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  repositories(): Promise<readonly RepositoryRecord[]> {
    return this.#registry.repositories();
  }

  repository(name: string): Promise<RepositoryRecord | undefined> {
    return this.#registry.repository(name);
  }

  manifest(at: ImageKey, digest: Digest): Promise<ManifestRecord | undefined> {
    return this.#images.manifest(at, digest);
  }

  tag(at: ImageKey, tag: Tag): Promise<TagRecord | undefined> {
    return this.#images.tag(at, tag);
  }

  taggedManifest(at: ImageKey, tag: Tag): Promise<ManifestRecord | undefined> {
    return this.#images.taggedManifest(at, tag);
  }

  link(at: ImageKey, digest: Digest): Promise<BlobLink | undefined> {
    return this.#images.link(at, digest);
  }

  isNamed(at: ImageKey, digest: Digest): Promise<boolean> {
    return this.#images.isNamed(at, digest);
  }

  tags(at: ImageKey, page: PageRequest): Promise<Page<TagRecord>> {
    return this.#images.tags(at, page);
  }

  image(at: ImageKey): Promise<ImageRecord | undefined> {
    return this.#images.image(at);
  }

  images(repository: string, page: ImagePageRequest): Promise<ImagePage> {
    return this.#images.images(repository, page);
  }

  referrers(at: ImageKey, subject: Digest, page: PageRequest): Promise<Page<ManifestRecord>> {
    return this.#images.referrers(at, subject, page);
  }

  imagesLinking(digest: Digest, page: PageRequest): Promise<Page<ImageKey>> {
    return this.#images.imagesLinking(digest, page);
  }

  session(id: SessionId): Promise<SessionRecord | undefined> {
    return this.#registry.session(id);
  }

  sessions(): AsyncGenerator<SessionRecord> {
    return this.#registry.sessions();
  }

  isReferenced(digest: Digest, exceptLinksOf?: readonly ImageKey[]): Promise<boolean> {
    return this.#garbage.isReferenced(digest, exceptLinksOf);
  }

  isCandidate(digest: Digest): Promise<boolean> {
    return this.#garbage.isCandidate(digest);
  }

  candidates(before: number, limit: number, options?: CandidateOptions): Promise<readonly Candidate[]> {
    return this.#garbage.candidates(before, limit, options);
  }

  condemned(olderThanMs?: number): Promise<readonly Digest[]> {
    return this.#garbage.condemned(olderThanMs);
  }

  evictable(
    repository: string,
    page: { readonly limit: number; readonly after?: CacheItem },
  ): Promise<readonly CacheItem[]> {
    return this.#registry.evictable(repository, page);
  }

  usage(repository: string): Promise<number> {
    return this.#registry.usage(repository);
  }

  document(kind: DocumentKind, id: string): Promise<object | undefined> {
    return this.#documents.document(kind, id);
  }

  documents(kind: DocumentKind): Promise<readonly Document[]> {
    return this.#documents.documents(kind);
  }

  documentRevision(kind: DocumentKind): Promise<number> {
    return this.#documents.documentRevision(kind);
  }

  async tryApply(changes: readonly Change[], options: WriteOptions): Promise<boolean> {
    return (await this.applyWithin(changes, options)) === true;
  }

  applyWithin(changes: readonly Change[], options: WriteOptions): Promise<boolean | ExceededUsage> {
    return resultOf(this.apply(changes, options));
  }

  async apply(changes: readonly Change[], options: WriteOptions): Promise<void> {
    const pool = this.#open();
    const knowsPlaces = this.#knowsPlaces;
    const durable = options.durable || !changes.every(({ type }) => repeatable.has(type));
    await this.#order.run(changes, options.require ?? [], async () => {
      const kinds = await pool.transaction((session) => applyChanges(session, changes, { ...options, knowsPlaces }), {
        durable,
      });
      // Before the write resolves, so that the next read of this process sees it.
      this.#documents.forget(kinds);
    });
  }

  purge(when: number): Promise<boolean> {
    return purgeDeleted(this.#open(), when);
  }

  async check(): Promise<void> {
    await checkWrites(this.#open());
  }

  status(): MetadataStatus {
    return this.#pool.status();
  }

  async #closeAll(): Promise<void> {
    await this.#order.idle();
    await this.#revisions.close();
    await this.#pool.close();
  }

  #open(): PostgresPool {
    if (this.#closing !== undefined) throw new Error('the index is closed');
    return this.#pool;
  }
}
