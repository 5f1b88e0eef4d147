import type { StoredManifest } from '../../ports/hooks.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { Change, Precondition } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type {
  RepositoryTrash,
  RestoredManifest,
  RestoreRequest,
  TrashItem,
  TrashPosition,
} from '../../ports/metadata/trash.js';
import type { Digest } from '../../protocol/digest.js';
import { trashUntilOf, type LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Tag } from '../../protocol/names.js';
import { readBytes } from '../../util/streams/streams.js';
import { tryApplyWithin } from '../content/quota-writes.js';
import { busy } from '../content/manifest-record.js';
import type { LocalParts } from './local-parts.js';

const pageSize = 256;

/** Returns the change that deletes a manifest of a local repository: into the trash, if it has one. */
export function deletionOf(
  config: LocalRepositoryConfig,
  at: ImageKey,
  digest: Digest,
  when: number,
): Extract<Change, { type: 'manifest.delete' }> {
  return { type: 'manifest.delete', at, digest, when, trashUntil: trashUntilOf(config, when) };
}

/** The trash of a local repository. */
export class LocalTrash implements RepositoryTrash {
  readonly #config: LocalRepositoryConfig;
  readonly #parts: LocalParts;

  constructor(config: LocalRepositoryConfig, parts: LocalParts) {
    this.#config = config;
    this.#parts = parts;
  }

  list(page: { readonly limit: number; readonly after?: TrashPosition | undefined }): Promise<readonly TrashItem[]> {
    return this.#parts.metadata.trash.list(this.#config.name, page);
  }

  async restore({ image, digest, tags: wanted }: RestoreRequest, actor: Actor): Promise<RestoredManifest> {
    const { runtime } = this.#parts;
    const at = { repository: this.#config.name, image };
    const items = await this.#withChildren(at, digest);
    const [item] = items;
    if (item === undefined) {
      throw new RegistryError('NOT_FOUND', { message: 'the manifest is not in the trash', detail: { image, digest } });
    }
    const tags = wanted ?? item.tags;
    await this.#refuseTaken(at, tags);
    await this.#askHooks(at, items, tags, actor);
    const when = runtime.now();
    const changes: Change[] = [
      // Children first: no index without its manifests.
      ...items.toReversed().map((one): Change => ({ type: 'trash.restore', at, digest: one.digest })),
      ...tags.map((name): Change => ({ type: 'tag.put', at, tag: { name, digest, updatedAt: when } })),
    ];
    const require = tags.map((tag): Precondition => ({ type: 'tag', at, tag, is: 'absent' }));
    // Only the write knows which content comes back with the manifests, so no room is held before it.
    const isRestored = await this.#parts.quotas.hold(this.#config, [image], actor, nothing, (limits) =>
      tryApplyWithin(this.#parts, changes, {
        durable: true,
        require: [...require, ...limits],
        by: { actor, at: when },
      }),
    );
    if (isRestored) return { digest, tags, manifests: items.length };
    await this.#refuseTaken(at, tags);
    throw busy();
  }

  async empty(
    image: string | undefined,
    actor: Actor,
  ): Promise<{ readonly manifests: number; readonly bytes: number }> {
    const counts = { manifests: 0, bytes: 0 };
    for (let after: TrashPosition | undefined; ;) {
      const items = await this.list({ limit: pageSize, after });
      after = items.at(-1);
      const doomed = items.filter(({ at }) => image === undefined || at.image === image);
      for (const item of doomed) if (await this.#delete(item, actor)) count(counts, item);
      if (after === undefined) return counts;
    }
  }

  #delete({ at, digest, deletedAt }: TrashItem, actor: Actor): Promise<boolean> {
    const by = { actor, at: this.#parts.runtime.now() };
    const change: Change = { type: 'trash.delete', at, digest, since: deletedAt, deletedAt };
    return this.#parts.metadata.tryApply([change], { durable: true, by });
  }

  /** Asks about each manifest, children first as in a push, and then about the tags. @param items the requested one first. */
  async #askHooks(at: ImageKey, items: readonly TrashItem[], tags: readonly Tag[], actor: Actor): Promise<void> {
    const { manifestPut, tagMove } = this.#parts.hooks;
    if (manifestPut === undefined && tagMove === undefined) return;
    for (const [i, item] of [...items.entries()].toReversed()) {
      const manifest = await this.#read(item);
      await manifestPut?.({ at, actor }, manifest, i === 0 ? tags : []);
      if (i > 0) continue;
      for (const tag of tags) await tagMove?.({ at, actor }, { tag, to: manifest, was: undefined });
    }
  }

  /** Reads a manifest in the trash, which its image does not show. @throws RegistryError NOT_FOUND. */
  async #read({ manifest: { digest, mediaType } }: TrashItem): Promise<StoredManifest> {
    const content = await this.#parts.blobs.read(digest);
    if (content !== undefined) return { digest, mediaType, bytes: await readBytes(content) };
    const message = 'the bytes of the manifest are missing or damaged: the hooks cannot decide about it';
    throw new RegistryError('NOT_FOUND', { message, detail: { digest } });
  }

  /** Returns the item, followed by the manifests in the trash that it names, directly or through others. */
  async #withChildren(at: ImageKey, digest: Digest): Promise<readonly TrashItem[]> {
    const found = new Map<Digest, TrashItem>();
    const seen = new Set([digest]);
    // The set grows during the loop.
    for (const each of seen) {
      const item = await this.#parts.metadata.trash.get(at, each);
      if (item === undefined) continue;
      found.set(each, item);
      for (const named of item.manifest.references) seen.add(named);
    }
    return found.has(digest) ? [...found.values()] : [];
  }

  /** @throws RegistryError CONFLICT when a tag exists again. */
  async #refuseTaken(at: ImageKey, tags: readonly Tag[]): Promise<void> {
    const records = await Promise.all(tags.map((tag) => this.#parts.metadata.tag(at, tag)));
    const taken = records.filter((record) => record !== undefined);
    if (taken.length === 0) return;
    throw new RegistryError('CONFLICT', {
      message: `tag "${taken[0]?.name}" exists again: restore the manifest with other tags, or with none`,
      detail: taken.map(({ name, digest }) => ({ tag: name, digest })),
    });
  }
}

function nothing(): Promise<readonly never[]> {
  return Promise.resolve([]);
}

function count(counts: { manifests: number; bytes: number }, { bytes }: TrashItem): void {
  counts.manifests += 1;
  counts.bytes += bytes;
}
