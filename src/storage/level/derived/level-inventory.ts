/** Reads what images hold and what else holds it. */
import type { ExclusiveBytes, Inventory, ManifestHolders, StoredBytes } from '../../../ports/operations/inventory.js';
import type { ImageKey, ManifestRecord } from '../../../ports/metadata/images.js';
import type { BlobLink } from '../../../ports/metadata/metadata.js';
import type { Page, PageRequest } from '../../../ports/pages.js';
import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import type { LevelIndex } from '../level-index.js';
import {
  allHoldersPrefix,
  contentPrefix,
  holderKinds,
  holderMember,
  holderPrefix,
  manifestKey,
  namedPrefix,
  parseHolderKey,
  rangeEnd,
  storedKey,
  taggedPrefix,
  type Place,
  type RepositoryId,
} from '../level-keys.js';
import { readPage } from '../level-pages.js';
import { decodeValue } from '../level-view.js';
import type { LevelWriter } from '../writes/level-writer.js';
import { countNext, readStored } from './level-stored.js';

/** Keys that one read of a long list takes. */
const partSize = 1000;

/** Reads from the disk. Waits while the index is being reopened. */
export type ReadIndex = <T>(work: (index: LevelIndex) => T | Promise<T>) => Promise<T>;

/** The parts of the store that the inventory uses. */
export interface InventoryParts {
  readonly read: ReadIndex;
  readonly writer: LevelWriter;
  /** For reads inside the writer, which must not wait. */
  readonly index: LevelIndex;
}

/** The inventory of an index. */
export class LevelInventory implements Inventory {
  readonly #parts: InventoryParts;

  constructor(parts: InventoryParts) {
    this.#parts = parts;
  }

  async manifests(at: ImageKey, page: PageRequest): Promise<Page<ManifestRecord>> {
    // Only manifests are stored under this prefix.
    const decode = (_key: string, text: string): ManifestRecord => decodeValue(text) as ManifestRecord;
    const read = this.#readPlace(at, (place, index) => readPage(index, contentPrefix('manifest', place), page, decode));
    return (await read) ?? { items: [], more: false };
  }

  async holders(at: ImageKey, digest: Digest): Promise<ManifestHolders> {
    const found = await this.#readPlace(at, async (place, index) => ({
      // The members of these lists are tags and digests.
      tags: (await index.members(taggedPrefix(place, digest))) as Tag[],
      namedBy: (await index.members(namedPrefix(place, digest))) as Digest[],
    }));
    return found ?? { tags: [], namedBy: [] };
  }

  async isHeldElsewhere(at: ImageKey, digest: Digest): Promise<boolean> {
    const found = await this.#readPlace(at, (place, index) => isShared(index, place, digest));
    return found ?? this.#parts.read((index) => index.hasMembers(holderPrefix(digest)));
  }

  async uniqueBytes(at: ImageKey): Promise<number> {
    let total = 0;
    for (const family of ['manifest', 'link'] as const) {
      for (let after: string | undefined; ;) {
        const page = { limit: partSize, ...(after === undefined ? {} : { after }) };
        const part = await this.#readPlace(at, (place, index) => readUnique(index, place, family, page));
        total += part?.bytes ?? 0;
        after = part?.next;
        if (after === undefined) break;
      }
    }
    return total;
  }

  exclusiveBytes(after?: Digest): Promise<ExclusiveBytes> {
    return this.#parts.read((index) => readExclusive(index, after));
  }

  async storedBytes(): Promise<StoredBytes> {
    return this.#parts.read(readStored);
  }

  async countStored(): Promise<boolean> {
    if ((await this.storedBytes()).isComplete) return false;
    await this.#parts.writer.run((view) => countNext(this.#parts.index, view), false);
    return !(await this.storedBytes()).isComplete;
  }

  /** Returns `undefined` when the repository does not exist. */
  #readPlace<T>(
    { repository, image }: ImageKey,
    work: (place: Place, index: LevelIndex) => T | Promise<T>,
  ): Promise<T | undefined> {
    return this.#parts.read((index) => {
      const id = index.residents.idOf(repository);
      return id === undefined ? undefined : work({ id, image }, index);
    });
  }
}

/** Returns whether another image, or a repository that is being purged, holds the digest too. */
async function isShared(index: LevelIndex, place: Place, digest: Digest): Promise<boolean> {
  const own = new Set(holderKinds.map((kind) => holderMember(kind, place)));
  const holders = await index.members(holderPrefix(digest), own.size + 1);
  return holders.some((holder) => !own.has(holder));
}

async function readUnique(
  index: LevelIndex,
  place: Place,
  family: 'manifest' | 'link',
  page: PageRequest,
): Promise<{ readonly bytes: number; readonly next?: string }> {
  const prefix = contentPrefix(family, place);
  const decode = (key: string, text: string) => ({
    digest: key.slice(prefix.length) as Digest,
    // The family says what the value is; both have a size.
    ...(decodeValue(text) as Pick<BlobLink, 'size' | 'inTrash'>),
  });
  const { items, more } = await readPage(index, prefix, page, decode);
  let bytes = 0;
  for (const { digest, size, inTrash } of items) {
    // As in the size of the image: a digest that is both counts once, and what only the trash needs does not count.
    if (inTrash === true) continue;
    if (family === 'link' && index.get(manifestKey(place, digest)) !== undefined) continue;
    if (!(await isShared(index, place, digest))) bytes += size;
  }
  const last = items.at(-1)?.digest;
  return more && last !== undefined ? { bytes, next: last } : { bytes };
}

/** Reads the holders of the next digests. Stops before a digest whose holders it did not read completely. */
async function readExclusive(index: LevelIndex, after: Digest | undefined): Promise<ExclusiveBytes> {
  const lt = rangeEnd(allHoldersPrefix);
  let gt = after === undefined ? allHoldersPrefix : `${allHoldersPrefix}${after}\x01`;
  const owners = new Map<Digest, RepositoryId | undefined>();
  for (;;) {
    const keys = await index.scanKeys({ gt, lt }, partSize, (key) => key);
    for (const { digest, place } of keys.map(parseHolderKey)) {
      owners.set(digest, owners.has(digest) && owners.get(digest) !== place.id ? undefined : place.id);
    }
    const last = keys.at(-1);
    if (last === undefined || keys.length < partSize) return { bytes: sum(index, owners) };
    // The last digest may have more holders. With a single digest, all of its holders must be read to make progress.
    const { digest } = parseHolderKey(last);
    if (owners.size > 1) {
      owners.delete(digest);
      const next = [...owners.keys()].at(-1);
      return next === undefined ? { bytes: new Map() } : { bytes: sum(index, owners), next };
    }
    gt = last;
  }
}

function sum(index: LevelIndex, owners: ReadonlyMap<Digest, RepositoryId | undefined>): Map<string, number> {
  const bytes = new Map<string, number>();
  for (const [digest, id] of owners) {
    const repository = id && index.residents.nameOf(id);
    if (repository === undefined) continue;
    bytes.set(repository, (bytes.get(repository) ?? 0) + (index.get(storedKey(digest)) ?? 0));
  }
  return bytes;
}
