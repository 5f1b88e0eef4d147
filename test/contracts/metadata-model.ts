import { ConflictError } from '../../src/util/conflict-error.js';
import type { DocumentKind } from '../../src/ports/metadata/documents.js';
import type {
  BlobLink,
  CacheItem,
  Candidate,
  Change,
  RepositoryRecord,
  Precondition,
  SessionRecord,
  TagRecord,
} from '../../src/ports/metadata/metadata.js';
import type { ImageKey, ImageRecord, ManifestRecord } from '../../src/ports/metadata/images.js';
import type { TrashItem } from '../../src/ports/metadata/trash.js';
import { matchesAny } from '../../src/protocol/patterns.js';
import type { Digest } from '../../src/protocol/digest.js';

interface ModelImage {
  readonly image: string;
  readonly links: Map<Digest, BlobLink>;
  readonly manifests: Map<Digest, ManifestRecord>;
  readonly tags: Map<string, TagRecord>;
  readonly touched: Map<Digest, number>;
  readonly trash: Map<Digest, TrashItem>;
  /** Deleted links that the trash needs. */
  readonly unlinked: Map<Digest, BlobLink>;
  updatedAt: number;
  pushedAt: number;
}

interface ModelRepository {
  record: RepositoryRecord;
  readonly images: Map<string, ModelImage>;
  readonly sessions: Map<string, SessionRecord>;
}

interface ModelState {
  readonly repositories: Map<string, ModelRepository>;
  readonly deleted: ModelRepository[];
  /** By their target, as text. */
  readonly candidates: Map<string, Candidate>;
  readonly condemned: Set<Digest>;
  /** The size of content that was held and is not deleted. */
  readonly stored: Map<Digest, number>;
  /** By kind and id. */
  readonly records: Map<string, object>;
}

/** A minimal index without reverse keys or counts: every lookup scans everything. */
export class MetadataModel {
  #state: ModelState = {
    repositories: new Map(),
    deleted: [],
    candidates: new Map(),
    condemned: new Set(),
    stored: new Map(),
    records: new Map(),
  };

  /** Applies all changes or none. @throws ConflictError */
  /** @param limits what the sizes of groups of images must not exceed, unless the changes do not increase them. */
  apply(changes: readonly Change[], limits: readonly Extract<Precondition, { type: 'usage' }>[] = []): void {
    const before = structuredClone(this.#state);
    const totals = limits.map(({ names }) => this.total(names));
    try {
      for (const change of changes) this.#record(change);
      for (const [i, { names, maxBytes }] of limits.entries()) {
        const total = this.total(names);
        if (total > maxBytes && total > (totals[i] ?? 0)) throw new ConflictError('usage');
      }
    } catch (error) {
      this.#state = before;
      throw error;
    }
  }

  purge(when: number): void {
    for (const { images } of this.#state.deleted.splice(0)) {
      for (const image of images.values()) {
        for (const digest of [
          ...image.links.keys(),
          ...image.manifests.keys(),
          ...image.trash.keys(),
          ...image.unlinked.keys(),
        ])
          this.#leave({ kind: 'bytes', digest, since: when });
      }
    }
  }

  // -------------------------------------------------------------------------------------------- reads

  repositories(): RepositoryRecord[] {
    return [...this.#state.repositories.values()].map(({ record }) => record).sort(by((record) => record.config.name));
  }

  manifest(at: ImageKey, digest: Digest): ManifestRecord | undefined {
    return this.#image(at)?.manifests.get(digest);
  }

  tag(at: ImageKey, tag: string): TagRecord | undefined {
    return this.#image(at)?.tags.get(tag);
  }

  link(at: ImageKey, digest: Digest): BlobLink | undefined {
    return this.#image(at)?.links.get(digest);
  }

  isNamed(at: ImageKey, digest: Digest): boolean {
    return this.#isNamedAlive(at, digest) || this.#isKept(at, digest);
  }

  trashed(at: ImageKey, digest: Digest): TrashItem | undefined {
    return this.#image(at)?.trash.get(digest);
  }

  trash(repository: string): TrashItem[] {
    const images = [...(this.#state.repositories.get(repository)?.images.values() ?? [])];
    const position = ({ at, digest, until }: TrashItem): string =>
      `${String(until).padStart(16, '0')}\0${at.image}\0${digest}`;
    return images.flatMap(({ trash }) => [...trash.values()]).sort(by(position));
  }

  #isNamedAlive(at: ImageKey, digest: Digest): boolean {
    return [...(this.#image(at)?.manifests.values() ?? [])].some(({ references }) => references.includes(digest));
  }

  #isKept(at: ImageKey, digest: Digest): boolean {
    return [...(this.#image(at)?.trash.values() ?? [])].some(({ manifest }) => manifest.references.includes(digest));
  }

  tags(at: ImageKey): TagRecord[] {
    return [...(this.#image(at)?.tags.values() ?? [])].sort(by(({ name }) => name));
  }

  image(at: ImageKey): ImageRecord | undefined {
    const found = this.#image(at);
    if (found === undefined || isEmpty(found)) return undefined;
    return {
      image: at.image,
      manifests: found.manifests.size,
      tags: found.tags.size,
      bytes: sizeOf(found),
      updatedAt: found.updatedAt,
      ...(found.pushedAt === 0 ? {} : { pushedAt: found.pushedAt }),
    };
  }

  images(repository: string): ImageRecord[] {
    const images = [...(this.#state.repositories.get(repository)?.images.keys() ?? [])];
    const records = images.map((image) => this.image({ repository, image }));
    return records
      .filter((record) => record !== undefined && record.manifests > 0)
      .sort(by((record) => record?.image ?? '')) as ImageRecord[];
  }

  referrers(at: ImageKey, subject: Digest): ManifestRecord[] {
    const manifests = [...(this.#image(at)?.manifests.values() ?? [])];
    return manifests.filter((manifest) => manifest.subject === subject).sort(by(({ digest }) => digest));
  }

  imagesLinking(digest: Digest): ImageKey[] {
    const found = this.#everyImage().filter(({ image }) => image.links.has(digest));
    return found.map(({ at }) => at).sort(by(({ repository, image }) => `${repository}\0${image}`));
  }

  /** Counts the content of deleted repositories until it is purged. */
  isReferenced(digest: Digest): boolean {
    return this.#images().some((image) => holds(image, digest));
  }

  manifests(at: ImageKey): ManifestRecord[] {
    return [...(this.#image(at)?.manifests.values() ?? [])].sort(by(({ digest }) => digest));
  }

  holders(at: ImageKey, digest: Digest): { tags: string[]; namedBy: Digest[] } {
    const namers = this.manifests(at).filter(({ references }) => references.includes(digest));
    const tags = this.tags(at).filter((tag) => tag.digest === digest);
    return { tags: tags.map(({ name }) => name), namedBy: namers.map((manifest) => manifest.digest) };
  }

  isHeldElsewhere(at: ImageKey, digest: Digest): boolean {
    return this.#images().some((image) => image !== this.#image(at) && holds(image, digest));
  }

  uniqueBytes(at: ImageKey): number {
    const found = this.#image(at);
    if (found === undefined) return 0;
    const isUnique = ([digest]: readonly [Digest, unknown]): boolean => !this.isHeldElsewhere(at, digest);
    const links = new Map([...found.links].filter(isUnique));
    return sizeOf({ ...found, links, manifests: new Map([...found.manifests].filter(isUnique)) });
  }

  exclusiveBytes(repository: string): number {
    const own = [...(this.#state.repositories.get(repository)?.images.values() ?? [])];
    const others = this.#images().filter((image) => !own.includes(image));
    const isExclusive = (digest: Digest): boolean =>
      own.some((image) => holds(image, digest)) && !others.some((image) => holds(image, digest));
    return [...this.#state.stored].reduce((sum, [digest, size]) => sum + (isExclusive(digest) ? size : 0), 0);
  }

  storedBytes(): number {
    return [...this.#state.stored.values()].reduce((sum, size) => sum + size, 0);
  }

  /** All images, also those of deleted repositories. */
  #images(): ModelImage[] {
    const repositories = [...this.#state.repositories.values(), ...this.#state.deleted];
    return repositories.flatMap(({ images }) => [...images.values()]);
  }

  evictable(repository: string): CacheItem[] {
    const images = [...(this.#state.repositories.get(repository)?.images.values() ?? [])];
    const items = images.flatMap(({ image, touched, links, manifests }) =>
      [...touched].flatMap(([digest, touchedAt]): CacheItem[] => {
        const manifest = manifests.get(digest);
        const size = (manifest ?? links.get(digest))?.size;
        if (size === undefined) return [];
        return [{ kind: manifest ? 'manifest' : 'link', at: { repository, image }, digest, size, touchedAt }];
      }),
    );
    return items.sort(
      by(({ touchedAt, at, digest }) => `${String(touchedAt).padStart(16, '0')}\0${at.image}\0${digest}`),
    );
  }

  total(names: readonly string[]): number {
    let total = 0;
    for (const [repository, { images }] of this.#state.repositories) {
      for (const image of images.keys())
        if (matchesAny(names, `${repository}/${image}`)) total += this.image({ repository, image })?.bytes ?? 0;
    }
    return total;
  }

  usage(repository: string): number {
    const images = [...(this.#state.repositories.get(repository)?.images.keys() ?? [])];
    return images.reduce((sum, image) => sum + (this.image({ repository, image })?.bytes ?? 0), 0);
  }

  sessions(): SessionRecord[] {
    const all = [...this.#state.repositories.values()].flatMap(({ sessions }) => [...sessions.values()]);
    return all.sort(by(({ id }) => id));
  }

  isCandidate(digest: Digest): boolean {
    return this.candidates().some((candidate) => candidate.kind === 'bytes' && candidate.digest === digest);
  }

  candidates(): Candidate[] {
    return [...this.#state.candidates.values()];
  }

  condemned(): Digest[] {
    return [...this.#state.condemned].sort();
  }

  document(kind: DocumentKind, id: string): object | undefined {
    return this.#state.records.get(`${kind} ${id}`);
  }

  documents(kind: DocumentKind): { id: string; value: object }[] {
    const mine = [...this.#state.records].filter(([key]) => key.startsWith(`${kind} `));
    return mine.map(([key, value]) => ({ id: key.slice(kind.length + 1), value })).sort(by(({ id }) => id));
  }

  // -------------------------------------------------------------------------------------------- changes

  #record(change: Change): void {
    switch (change.type) {
      case 'repository.put': {
        const { config, origin, when } = change;
        const before = this.#state.repositories.get(config.name);
        const record = { config, origin, createdAt: before?.record.createdAt ?? when, updatedAt: when };
        if (before === undefined)
          this.#state.repositories.set(config.name, { record, images: new Map(), sessions: new Map() });
        else before.record = record;
        return;
      }
      case 'repository.delete': {
        this.#state.deleted.push(this.#repository(change.name));
        this.#state.repositories.delete(change.name);
        for (const [id, candidate] of this.#state.candidates) {
          if (candidate.kind !== 'link' || candidate.at.repository !== change.name) continue;
          this.#state.candidates.delete(id);
        }
        return;
      }
      case 'blob.link':
        return this.#linkBlob(change);
      case 'blob.unlink': {
        const { at, digest, when } = change;
        const image = this.#imageFor(at);
        const link = image.links.get(digest);
        if (link === undefined) return;
        image.links.delete(digest);
        image.updatedAt = Math.max(image.updatedAt, when);
        if (!image.manifests.has(digest)) image.touched.delete(digest);
        this.#state.candidates.delete(identify({ kind: 'link', at, digest, since: 0 }));
        if (!this.#isKept(at, digest)) return this.#leave({ kind: 'bytes', digest, since: when });
        image.unlinked.set(digest, { size: link.size, linkedAt: link.linkedAt });
        return;
      }
      case 'manifest.put':
        return this.#putManifest(change.at, change.manifest);
      case 'manifest.delete':
        return this.#deleteManifest(change);
      case 'trash.restore': {
        const image = this.#imageFor(change.at);
        const item = image.trash.get(change.digest);
        if (item === undefined) throw new ConflictError('not in the trash');
        for (const named of item.manifest.references) {
          const link = image.unlinked.get(named);
          if (link !== undefined) image.links.set(named, link);
          image.unlinked.delete(named);
        }
        return this.#putManifest(change.at, item.manifest);
      }
      case 'trash.delete': {
        const { at, digest, since, deletedAt } = change;
        const item = this.#imageFor(at).trash.get(digest);
        if (item === undefined || (deletedAt ?? item.deletedAt) !== item.deletedAt) return;
        this.#takeTrash(at, digest, since);
        this.#leave({ kind: 'bytes', digest, since });
        return this.#release(at, item.manifest.references, since);
      }
      case 'tag.put': {
        const image = this.#imageFor(change.at);
        if (!image.manifests.has(change.tag.digest)) throw new ConflictError('no manifest');
        image.tags.set(change.tag.name, change.tag);
        image.updatedAt = Math.max(image.updatedAt, change.tag.updatedAt);
        image.pushedAt = Math.max(image.pushedAt, change.tag.updatedAt);
        return;
      }
      case 'tag.delete':
        this.#imageFor(change.at).tags.delete(change.tag);
        return;
      // Not part of the model: their own contract suites cover them.
      case 'tag.history':
      case 'sample.put':
      case 'sample.delete':
        return undefined;
      case 'session.put': {
        const { sessions } = this.#repository(change.session.at.repository);
        this.#deleteSession(change.session.id);
        sessions.set(change.session.id, change.session);
        return;
      }
      case 'session.delete':
        return this.#deleteSession(change.id);
      case 'candidate.put':
        if (change.candidate.kind === 'link') this.#repository(change.candidate.at.repository);
        return this.#leave(change.candidate);
      case 'cache.touched': {
        const { touched, links, manifests } = this.#imageFor(change.at);
        for (const digest of change.digests) {
          if (!links.has(digest) && !manifests.has(digest)) continue;
          touched.set(digest, Math.max(touched.get(digest) ?? 0, change.when));
        }
        return;
      }
      case 'manifest.pulled':
        // Counts have their own tests; this only conflicts when the repository does not exist.
        this.#imageFor(change.at);
        return;
      case 'candidate.delete': {
        if (change.candidate.kind === 'link') this.#repository(change.candidate.at.repository);
        const id = identify(change.candidate);
        if (this.#state.candidates.get(id)?.since === change.candidate.since) this.#state.candidates.delete(id);
        return;
      }
      case 'bytes.condemn':
        this.#state.condemned.add(change.digest);
        return;
      case 'bytes.forget':
        if (this.#state.condemned.delete(change.digest) && change.deleted === true)
          this.#state.stored.delete(change.digest);
        return;
      case 'document.put':
        this.#state.records.set(`${change.kind} ${change.id}`, change.value);
        return;
      case 'document.delete':
        this.#state.records.delete(`${change.kind} ${change.id}`);
    }
  }

  #linkBlob({ at, digest, size, when }: Extract<Change, { type: 'blob.link' }>): void {
    const image = this.#imageFor(at);
    if (this.#state.condemned.has(digest)) throw new ConflictError('condemned');
    const before = image.links.get(digest);
    image.links.set(digest, { size: before?.size ?? size, linkedAt: when });
    image.unlinked.delete(digest);
    if (before === undefined) image.updatedAt = Math.max(image.updatedAt, when);
    this.#store(digest, before?.size ?? size);
    if (before === undefined) this.#leave({ kind: 'link', at, digest, since: when });
  }

  #putManifest(at: ImageKey, manifest: ManifestRecord): void {
    const image = this.#imageFor(at);
    if (this.#state.condemned.has(manifest.digest)) throw new ConflictError('condemned');
    const before = image.manifests.get(manifest.digest) ?? image.trash.get(manifest.digest)?.manifest;
    image.manifests.set(manifest.digest, manifest);
    this.#takeTrash(at, manifest.digest, manifest.pushedAt);
    image.updatedAt = Math.max(image.updatedAt, manifest.pushedAt);
    image.pushedAt = Math.max(image.pushedAt, manifest.pushedAt);
    this.#store(manifest.digest, manifest.size);
    this.#release(
      at,
      before?.references.filter((digest) => !manifest.references.includes(digest)) ?? [],
      manifest.pushedAt,
    );
    for (const digest of manifest.references) {
      const link = image.links.get(digest);
      if (link !== undefined) image.links.set(digest, { size: link.size, linkedAt: link.linkedAt });
      this.#state.candidates.delete(identify({ kind: 'link', at, digest, since: 0 }));
    }
  }

  #deleteManifest({ at, digest, when, trashUntil }: Extract<Change, { type: 'manifest.delete' }>): void {
    const image = this.#imageFor(at);
    const before = image.manifests.get(digest);
    if (before === undefined) return;
    const sizeBefore = sizeOf(image);
    image.manifests.delete(digest);
    if (!image.links.has(digest)) image.touched.delete(digest);
    const tags = [...image.tags.values()].filter((tag) => tag.digest === digest).map(({ name }) => name);
    for (const tag of tags) image.tags.delete(tag);
    image.updatedAt = Math.max(image.updatedAt, when);
    if (trashUntil === undefined) {
      this.#leave({ kind: 'bytes', digest, since: when });
      return this.#release(at, before.references, when);
    }
    const item = { at, digest, manifest: before, tags: tags.sort(), deletedAt: when, until: trashUntil, bytes: 0 };
    image.trash.set(digest, item);
    this.#release(at, before.references, when);
    image.trash.set(digest, { ...item, bytes: sizeBefore - sizeOf(image) });
  }

  #takeTrash(at: ImageKey, digest: Digest, since: number): void {
    const { trash, unlinked } = this.#imageFor(at);
    trash.delete(digest);
    for (const named of unlinked.keys()) {
      if (this.#isKept(at, named)) continue;
      unlinked.delete(named);
      this.#leave({ kind: 'bytes', digest: named, since });
    }
  }

  #store(digest: Digest, size: number): void {
    this.#state.stored.set(digest, this.#state.stored.get(digest) ?? size);
  }

  #release(at: ImageKey, digests: readonly Digest[], since: number): void {
    for (const digest of digests) {
      const link = this.link(at, digest);
      if (link === undefined || this.#isNamedAlive(at, digest)) continue;
      if (!this.#isKept(at, digest)) this.#leave({ kind: 'link', at, digest, since });
      else this.#image(at)?.links.set(digest, { ...link, inTrash: true });
    }
  }

  #leave(candidate: Candidate): void {
    const id = identify(candidate);
    const since = Math.max(this.#state.candidates.get(id)?.since ?? 0, candidate.since);
    this.#state.candidates.set(id, { ...candidate, since });
  }

  #deleteSession(id: string): void {
    for (const { sessions } of this.#state.repositories.values()) sessions.delete(id);
  }

  #everyImage(): { at: ImageKey; image: ModelImage }[] {
    return [...this.#state.repositories].flatMap(([repository, { images }]) =>
      [...images.values()].map((image) => ({ at: { repository, image: image.image }, image })),
    );
  }

  #repository(name: string): ModelRepository {
    const found = this.#state.repositories.get(name);
    if (found === undefined) throw new ConflictError('no repository');
    return found;
  }

  #image(at: ImageKey): ModelImage | undefined {
    return this.#state.repositories.get(at.repository)?.images.get(at.image);
  }

  #imageFor(at: ImageKey): ModelImage {
    const { images } = this.#repository(at.repository);
    let image = images.get(at.image);
    if (image === undefined) {
      image = {
        image: at.image,
        links: new Map(),
        manifests: new Map(),
        tags: new Map(),
        touched: new Map(),
        trash: new Map(),
        unlinked: new Map(),
        updatedAt: 0,
        pushedAt: 0,
      };
      images.set(at.image, image);
    }
    // An empty image is forgotten.
    if (isEmpty(image)) Object.assign(image, { updatedAt: 0, pushedAt: 0 });
    return image;
  }
}

function isEmpty({ links, manifests, trash }: ModelImage): boolean {
  return links.size + manifests.size + trash.size === 0;
}

function sizeOf({ links, manifests }: ModelImage): number {
  const counted = [...links].filter(([, link]) => link.inTrash !== true);
  const sizes = new Map([...counted, ...manifests].map(([digest, { size }]) => [digest, size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** Returns the target of a candidate as text. */
export function identify(candidate: Candidate): string {
  if (candidate.kind === 'bytes') return candidate.digest;
  return `${candidate.at.repository}/${candidate.at.image} ${candidate.digest}`;
}

function holds({ links, manifests, trash, unlinked }: ModelImage, digest: Digest): boolean {
  return links.has(digest) || manifests.has(digest) || trash.has(digest) || unlinked.has(digest);
}

function by<T>(key: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : 1);
}
