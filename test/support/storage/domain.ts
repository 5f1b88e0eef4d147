import { EventEmitter } from 'node:events';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { BlobStore } from '../../../src/ports/bytes.js';
import type { Candidate, MetadataStore } from '../../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../../src/ports/metadata/images.js';
import type { Observer, RegistryEvents, Runtime } from '../../../src/ports/runtime.js';
import type { Repository, RepositoryWriter } from '../../../src/ports/repository.js';
import { Quotas } from '../../../src/repositories/local/quota/quotas.js';
import { localConfig } from './local-config.js';
import type { Sparse } from '../../../src/protocol/settings/repository-config.js';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { parseManifest, type ParsedManifest } from '../../../src/protocol/manifests/manifest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { FinishedUploads } from '../../../src/repositories/local/finished-uploads.js';
import { OnlineGarbageCollector } from '../../../src/repositories/garbage/garbage-collector.js';
import type { LocalParts } from '../../../src/repositories/local/local-parts.js';
import { LocalRepository } from '../../../src/repositories/local/local-repository.js';
import { DamagedBlobs, undamagedStore } from '../../../src/repositories/content/damaged-blobs.js';
import { RecentContent } from '../../../src/repositories/content/recent-content.js';
import { PushLeases } from '../../../src/repositories/content/push-leases.js';
import { restoringStore } from '../../../src/repositories/garbage/quarantine.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { createMemoryDisk, MemoryBlobStore, type MemoryDisk, type MemoryFile } from './memory-blob-store.js';
import { KeyedMutex } from '../../../src/util/scheduling/concurrency.js';
import { readBytes } from '../../../src/util/streams/streams.js';
import { callerWho } from '../access/callers.js';
import {
  describeBytes,
  describeManifest,
  indexManifest,
  manifestOf,
  types,
  type Manifest,
} from '../content/content.js';
import { recordingLogger, type LogLine } from '../servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from './scratch.js';

export const hour = 3_600_000;
export const day = 24 * hour;
/** What the registry has by default. */
export const grace = day;
export const uploadExpiry = 7 * day;
export const orphanRetention = 30 * day;
const farFuture = Number.MAX_SAFE_INTEGER;

export const anyone = callerWho('anyone', () => true);

/** A clock that stands until it is moved, ids that count, and a log that remembers. */
export class TestRuntime implements Runtime {
  readonly events = new EventEmitter<RegistryEvents>();
  readonly log = recordingLogger();
  #now: number;
  #ids = 0;

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }

  newId(): string {
    this.#ids += 1;
    return `00000000-0000-4000-8000-${this.#ids.toString(16).padStart(12, '0')}`;
  }

  emit<Name extends keyof RegistryEvents>(name: Name, ...payload: RegistryEvents[Name]): void {
    (this.events as EventEmitter).emit(name, ...payload);
  }

  observe<Name extends keyof RegistryEvents>(name: Name, observer: Observer<Name>): () => void {
    const events: EventEmitter = this.events;
    events.on(name, observer);
    return () => void events.off(name, observer);
  }

  isHeard(name: keyof RegistryEvents): boolean {
    return this.events.listenerCount(name) > 0;
  }
}

type Method = keyof BlobStore | keyof MetadataStore;
/** Called before a method of a store; the call goes on when it resolves, and fails when it rejects. */
export type Hook = (method: Method, args: readonly unknown[]) => Promise<void>;

/** A store whose calls pass a hook first, and perhaps another when they are over. */
export function hooked<T extends BlobStore | MetadataStore>(store: T, hook: Hook, after?: () => void): T {
  return new Proxy(store, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const call = (): unknown => Reflect.apply(value, target, args);
        if (key === 'list' || key === 'listStaged' || key === 'sessions')
          return iterateAfter(hook(key, args), call, after);
        // Hooks see all kinds of writes under one name.
        return hook(key === 'tryApply' || key === 'applyWithin' ? 'apply' : (key as Method), args)
          .then(call)
          .finally(() => after?.());
      };
    },
  });
}

async function* iterateAfter(first: Promise<void>, open: () => unknown, after?: () => void): AsyncGenerator {
  try {
    await first;
    yield* open() as AsyncIterable<unknown>;
  } finally {
    after?.();
  }
}

/** The types of the changes, where the call is an `apply`. */
export function changesOf(args: readonly unknown[]): readonly string[] {
  const [changes] = args;
  return Array.isArray(changes) ? changes.map(({ type }: { type: string }) => type) : [];
}

/** Does something once, right before the first call that fits; what it does itself passes freely. */
export function once(fits: (method: Method, args: readonly unknown[]) => boolean, task: () => Promise<unknown>): Hook {
  let done = false;
  return async (method, args) => {
    if (done || !fits(method, args)) return;
    done = true;
    await task();
  };
}

export function isApplyOf(type: string): (method: Method, args: readonly unknown[]) => boolean {
  return (method, args) => method === 'apply' && changesOf(args).includes(type);
}

/** What belongs to one user of the stores: the collector, or those who push. */
export interface Actor {
  repository(name: string): LocalRepository;
  writer(name: string): RepositoryWriter;
  readonly collector: OnlineGarbageCollector;
}

type DomainParts = LocalParts & { readonly metadata: MetadataStore; readonly damage: DamagedBlobs };

/** The domain over a disk in memory and an index in a folder of its own, with a clock that the test moves. */
export class Domain {
  readonly runtime: TestRuntime;
  readonly disk: MemoryDisk = createMemoryDisk();
  readonly graceMs: number;
  readonly #folder: string;
  readonly #sparse = new Map<string, Sparse>();
  #parts: DomainParts;
  #main: Actor;

  private constructor(folder: string, metadata: MetadataStore, graceMs: number) {
    this.#folder = folder;
    this.graceMs = graceMs;
    this.runtime = new TestRuntime(1_767_225_600_000);
    keepTime(this.disk.blobs, this.runtime);
    keepTime(this.disk.staged, this.runtime);
    this.#parts = this.#makeParts(metadata);
    this.#main = this.actor();
  }

  static async open(options: { readonly graceMs?: number } = {}): Promise<Domain> {
    const folder = await makeScratchFolder();
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    return new Domain(folder, metadata, options.graceMs ?? grace);
  }

  get metadata(): MetadataStore {
    return this.#parts.metadata;
  }

  /** The parts that the repositories share. */
  get shared(): DomainParts {
    return this.#parts;
  }

  get blobs(): BlobStore {
    return this.#parts.blobs;
  }

  get log(): readonly LogLine[] {
    return this.runtime.log.lines;
  }

  /** Blobs that are there without anybody's having pushed them; many of them in one write. */
  async seedBlobs(repository: string, image: string, blobs: readonly Buffer[]): Promise<void> {
    const when = this.runtime.now();
    const at = keyOf(repository, image);
    for (const bytes of blobs) this.disk.blobs.set(digestOf(bytes), { bytes, modifiedAt: when });
    await this.metadata.apply(
      blobs.map((bytes) => ({ type: 'blob.link', at, digest: digestOf(bytes), size: bytes.length, when })),
      { durable: false },
    );
  }

  get collector(): OnlineGarbageCollector {
    return this.#main.collector;
  }

  repository(name: string): LocalRepository {
    return this.#main.repository(name);
  }

  writer(name: string): RepositoryWriter {
    return this.#main.writer(name);
  }

  /** Stands for another process: shares the stores, which it knows to be shared, and nothing in memory. */
  process(hook?: Hook): Actor {
    return this.actor(hook, undefined, this.#makeParts(sharing(this.metadata)));
  }

  /** Shares all but the way to the stores, where its calls pass the hook. */
  actor(hook?: Hook, after?: () => void, own = this.#parts): Actor {
    const { blobs, metadata } = own;
    const parts =
      hook === undefined ? own : { ...own, blobs: hooked(blobs, hook, after), metadata: hooked(metadata, hook, after) };
    const repository = (name: string): LocalRepository => {
      const sparse = this.#sparse.get(name) ?? 'indexes';
      return new LocalRepository(localConfig(name, { sparse, trashSeconds: 0 }), {
        ...parts,
        blobs: undamagedStore(restoringStore(parts), parts.damage),
      });
    };
    return {
      repository,
      writer: (name) => repository(name).writer,
      collector: new OnlineGarbageCollector({
        ...parts,
        uploadExpiryMs: uploadExpiry,
        orphanRetentionMs: orphanRetention,
        onDeleted: (digest) => {
          parts.recent.delete(digest);
          parts.damage.forget(digest);
        },
      }),
    };
  }

  async addRepository(name: string, options: { readonly sparse?: Sparse } = {}): Promise<void> {
    const sparse = options.sparse ?? 'indexes';
    this.#sparse.set(name, sparse);
    await this.metadata.apply(
      [
        {
          type: 'repository.put',
          config: localConfig(name, { sparse, trashSeconds: 0 }),
          origin: 'managed',
          when: this.runtime.now(),
        },
      ],
      { durable: false },
    );
  }

  async deleteRepository(name: string): Promise<void> {
    await this.metadata.apply([{ type: 'repository.delete', name, when: this.runtime.now() }], { durable: true });
  }

  /** What is on the disk and in the index stays; what was in memory is lost. */
  async restart(): Promise<void> {
    await this.metadata.close();
    await this.blobs.close();
    this.#parts = this.#makeParts(await LevelMetadataStore.open(path.join(this.#folder, 'index')));
    this.#main = this.actor();
  }

  /** All that is due now and what comes after it: links, then bytes. */
  async collectAll(): Promise<void> {
    this.runtime.advance(this.graceMs + hour);
    await this.collector.collect();
    this.runtime.advance(this.graceMs + hour);
    await this.collector.collect();
  }

  async candidates(): Promise<readonly Candidate[]> {
    return this.metadata.candidates(farFuture, 10_000);
  }

  has(digest: Digest): boolean {
    return this.disk.blobs.has(digest);
  }

  async dispose(): Promise<void> {
    await this.metadata.close();
    await this.blobs.close();
    await removeScratchFolder(this.#folder);
  }

  #makeParts(metadata: MetadataStore): DomainParts {
    const recent = new RecentContent(1024 * 1024);
    const onDamaged = (digest: Digest): void => recent.delete(digest);
    const damage = new DamagedBlobs({ metadata, runtime: this.runtime, onDamaged });
    return {
      blobs: new MemoryBlobStore(this.disk),
      metadata,
      recent,
      damage,
      runtime: this.runtime,
      digestLocks: new KeyedMutex(),
      sessionLocks: new KeyedMutex(),
      leases: new PushLeases(() => this.runtime.now()),
      finishedUploads: new FinishedUploads(() => this.runtime.now()),
      pullCounts: { count: () => undefined },
      quotas: new Quotas({
        metadata,
        runtime: this.runtime,
        declared: () => [],
        onReached: () => undefined,
        configs: () => [],
      }),
      hooks: {},
      graceMs: this.graceMs,
      maxBlobBytes: Infinity,
    };
  }
}

/** Returns the index as one that other processes use too. They only need to know that; no test watches or leases. */
function sharing(metadata: MetadataStore): MetadataStore {
  return new Proxy(
    hooked(metadata, () => Promise.resolve()),
    {
      get: (target, key): unknown => (key === 'shared' ? {} : Reflect.get(target, key)),
    },
  );
}

/** Files get the time of the test's clock, not of the system's. */
function keepTime<K>(files: Map<K, MemoryFile>, runtime: Runtime): void {
  const set = files.set.bind(files);
  files.set = (key, file) => set(key, { ...file, modifiedAt: runtime.now() });
}

// ------------------------------------------------------------------------------------------------ content

export interface Image {
  readonly manifest: ParsedManifest;
  readonly blobs: readonly Buffer[];
}

export function parsed({ bytes, type }: Manifest): ParsedManifest {
  return parseManifest(bytes, type);
}

/** An image of these layers; its config is its own. */
export function imageOf(label: string, layers: readonly Buffer[], more: object = {}): Image {
  const config = Buffer.from(`config of ${label}`);
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config),
    layers: layers.map((layer) => describeBytes(types.ociLayer, layer)),
    ...more,
  });
  return { manifest: parsed(manifest), blobs: [config, ...layers] };
}

export function indexOf(children: readonly ParsedManifest[], more: object = {}): ParsedManifest {
  const descriptors = children.map(({ bytes, mediaType }) =>
    describeManifest({ type: mediaType, bytes, digest: digestOf(bytes), sha512: '' }),
  );
  return parsed(indexManifest(descriptors, more));
}

export async function pushBlobs(writer: RepositoryWriter, image: string, blobs: readonly Buffer[]): Promise<void> {
  for (const bytes of blobs) await writer.putBlob(anyone, image, digestOf(bytes), Readable.from([bytes]));
}

export async function pushImage(
  writer: RepositoryWriter,
  name: string,
  image: Image,
  ...tags: readonly string[]
): Promise<void> {
  await pushBlobs(writer, name, image.blobs);
  await writer.putManifest(anyone, name, image.manifest, tags.map(parseTag));
}

/** The bytes of a blob as the image shows them. */
export async function pullBlob(repository: Repository, image: string, digest: Digest): Promise<Buffer | undefined> {
  const content = await (await repository.getBlob(anyone, image, digest))?.content();
  return content === undefined ? undefined : readBytes(content);
}

/** What a pull misses: the digests of what is absent, or has other bytes. Empty for a whole image. */
export async function missingOf(repository: Repository, name: string, manifest: ParsedManifest): Promise<string[]> {
  const missing: string[] = [];
  const found = await repository.getManifest(anyone, name, { digest: manifest.digest });
  if (found === undefined || !found.bytes.equals(manifest.bytes)) missing.push(manifest.digest);
  for (const { digest, kind } of manifest.references) {
    const bytes = await pullBlob(repository, name, digest);
    if (bytes !== undefined && digestOf(bytes) === digest) continue;
    const child = kind === 'either' ? await repository.getManifest(anyone, name, { digest }) : undefined;
    if (child === undefined) missing.push(digest);
  }
  return missing;
}

export function keyOf(repository: string, image: string): ImageKey {
  return { repository, image };
}
