import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Change, Precondition } from '../../../ports/metadata/metadata.js';
import type { Caller, WriteConditions } from '../../../ports/repository.js';
import type { Digest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import type { Tag } from '../../../protocol/names.js';
import type { LocalRepositoryConfig } from '../../../protocol/settings/repository-config.js';
import { keepImmutableContent } from '../../content/immutable-holders.js';
import { busy, maxRetries } from '../../content/manifest-record.js';
import { joinGuards, keepImmutable, refuses, requireCondition, requireManifest } from '../../content/tag-guards.js';
import { deletionOf } from '../local-trash.js';
import type { LocalParts } from '../local-parts.js';

/** Whether existing content was dropped; `conflict`: something that the drop depends on changed in between. */
type Dropped = 'dropped' | 'conflict';

/** Deletes tags, manifests and blobs of a local repository. Returns false when there was nothing to delete. */
export class LocalDeletions {
  readonly #config: LocalRepositoryConfig;
  readonly #parts: LocalParts;

  constructor(config: LocalRepositoryConfig, parts: LocalParts) {
    this.#config = config;
    this.#parts = parts;
  }

  async deleteManifest(caller: Caller, at: ImageKey, digest: Digest, options: WriteConditions): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    const change = deletionOf(this.#config, at, digest, runtime.now());
    const isPresent: Precondition = { type: 'manifest', at, digest, is: 'present' };
    const deleted = await this.#repeat(async () => {
      if ((await metadata.manifest(at, digest)) === undefined) return undefined;
      if (options.condition !== undefined) requireManifest(options.condition, digest, true);
      return this.#dropContent(caller, change, isPresent, options, () => this.#askAboutManifest(caller, at, digest));
    });
    if (deleted) runtime.emit('manifest.deleted', { at, digest, by: caller.actor });
    return deleted;
  }

  async deleteTag(caller: Caller, at: ImageKey, tag: Tag, { condition, override }: WriteConditions): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    const immutable = keepImmutable(this.#config, at.image, undefined);
    const guard = joinGuards([override === true ? undefined : immutable, condition && requireCondition(condition)]);
    const deleted = await this.#repeat(async () => {
      const present = (await metadata.tag(at, tag))?.digest;
      if (present === undefined) return undefined;
      const state = guard?.(tag, present) ?? 'present';
      await this.#parts.hooks.delete?.({ at, actor: caller.actor, caller }, { kind: 'tag', tag, digest: present });
      const isDecided = this.#parts.hooks.delete !== undefined;
      const is = isDecided ? { digest: present } : state === 'any' || state === 'leave' ? 'present' : state;
      const isOverridden = override === true && refuses(immutable, tag, present);
      return this.#drop(caller, { type: 'tag.delete', at, tag }, [{ type: 'tag', at, tag, is }], isOverridden);
    });
    if (deleted) runtime.emit('tag.deleted', { at, tag, by: caller.actor });
    return deleted;
  }

  async deleteBlob(caller: Caller, at: ImageKey, digest: Digest): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    const change: Change = { type: 'blob.unlink', at, digest, when: runtime.now() };
    const isPresent: Precondition = { type: 'link', at, digest, is: 'present' };
    const deleted = await this.#repeat(async () => {
      if ((await metadata.link(at, digest)) === undefined) return undefined;
      return this.#dropContent(caller, change, isPresent, {}, async () => {
        await this.#parts.hooks.delete?.({ at, actor: caller.actor, caller }, { kind: 'blob', digest });
        return [];
      });
    });
    if (deleted) runtime.emit('blob.deleted', { at, digest, by: caller.actor });
    return deleted;
  }

  /** Asks the hook. Returns the preconditions of its decision. */
  async #askAboutManifest(caller: Caller, at: ImageKey, digest: Digest): Promise<readonly Precondition[]> {
    const { hooks, metadata } = this.#parts;
    if (hooks.delete === undefined) return [];
    const are = await metadata.inventory.holders(at, digest);
    await hooks.delete({ at, actor: caller.actor, caller }, { kind: 'manifest', digest, tags: are.tags });
    return [{ type: 'holders', at, digest, are }];
  }

  /** Repeats an attempt while it conflicts. `undefined`: there is nothing to delete. */
  async #repeat(attempt: () => Promise<Dropped | undefined>): Promise<boolean> {
    for (let count = 0; count <= maxRetries; count++) {
      const result = await attempt();
      if (result !== 'conflict') return result === 'dropped';
    }
    throw busy();
  }

  async #dropContent(
    caller: Caller,
    change: Extract<Change, { type: 'manifest.delete' | 'blob.unlink' }>,
    isPresent: Precondition,
    { override }: WriteConditions,
    askHook: () => Promise<readonly Precondition[]>,
  ): Promise<Dropped> {
    const { inventory } = this.#parts.metadata;
    let kept: readonly Precondition[] = [];
    let isOverridden = false;
    try {
      kept = await keepImmutableContent(inventory, this.#config, change.at.image, change.digest);
    } catch (error) {
      const isRefusal = error instanceof RegistryError && error.code === 'DENIED';
      if (override !== true || !isRefusal) throw error;
      isOverridden = true;
    }
    const decided = await askHook();
    return this.#drop(caller, change, [isPresent, ...decided, ...(override === true ? [] : kept)], isOverridden);
  }

  async #drop(
    { actor }: Caller,
    change: Change,
    require: readonly Precondition[],
    isOverridden: boolean,
  ): Promise<Dropped> {
    const by = { actor, at: this.#parts.runtime.now(), ...(isOverridden ? { override: true as const } : {}) };
    return (await this.#parts.metadata.tryApply([change], { durable: true, require, by })) ? 'dropped' : 'conflict';
  }
}
