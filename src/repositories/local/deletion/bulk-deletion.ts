/**
 * Deletes tags, manifests and images of a local repository, and reports what is deleted, what stays and why. Imported by
 * ../local-editor.ts and ../local-writer.ts.
 */
import type { DeletionReport, DeletionRequest, RefusedDeletion, StayingManifest } from '../../../ports/editing.js';
import type { ImageKey, ManifestRecord } from '../../../ports/metadata/images.js';
import type { ManifestHolders } from '../../../ports/operations/inventory.js';
import type { Change, Precondition } from '../../../ports/metadata/metadata.js';
import type { Caller } from '../../../ports/repository.js';
import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import { immutablePatternOf } from '../../../protocol/settings/immutable-tags.js';
import type { LocalRepositoryConfig } from '../../../protocol/settings/repository-config.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import { maxRetries } from '../../content/manifest-record.js';
import { batchesOf } from './deletion-batches.js';
import { planPermitted } from './deletion-hooks.js';
import type { DeletionPlan, PlannedImage, PlannedManifest } from './deletion-plan.js';
import type { LocalParts } from '../local-parts.js';
import { deletionOf } from '../local-trash.js';
import { itemsOf, readAll } from '../../../util/pages.js';

const pageSize = 256;

/** The outcome of a plan, as far as it is carried out. */
interface Outcome {
  readonly plan: DeletionPlan;
  readonly tags: Map<Tag, Digest>;
  readonly manifests: Map<Digest, ManifestRecord>;
  readonly stays: StayingManifest[];
  readonly refused: RefusedDeletion[];
}

/**
 * Deletes several tags and manifests of an image. The preview and the deletion share the plan. The deletion checks each
 * part of it again inside the write: content that changed since the plan was made stays, and the report says so.
 */
export class BulkDeletion {
  readonly #config: LocalRepositoryConfig;
  readonly #parts: LocalParts;
  readonly #at: ImageKey;
  readonly #image: Omit<PlannedImage, 'immutableBy' | 'keptBy'>;

  constructor(config: LocalRepositoryConfig, parts: LocalParts, image: string) {
    this.#config = config;
    this.#parts = parts;
    this.#at = { repository: config.name, image };
    this.#image = readImage(parts, this.#at);
  }

  async run(caller: Caller, request: DeletionRequest, isDryRun: boolean): Promise<DeletionReport> {
    const targets = request.all ? await this.#everything() : request;
    const change = { at: this.#at, actor: caller.actor, caller };
    const immutableBy = request.override === true ? () => undefined : (tag: Tag) => this.#patternOf(tag);
    const plan = await planPermitted({ ...this.#image, immutableBy }, targets, this.#parts, change);
    const manifests = new Map([...plan.going].map(([digest, { record }]) => [digest, record]));
    const planned: Outcome = {
      plan,
      tags: new Map(plan.tags),
      manifests,
      stays: [...plan.stays],
      refused: [...plan.refused],
    };
    return this.#report(isDryRun ? planned : await this.#carryOut(caller, plan));
  }

  async #everything(): Promise<{ readonly tags: readonly Tag[]; readonly digests: readonly Digest[] }> {
    const { metadata } = this.#parts;
    const tags = await readAll(
      (page) => metadata.tags(this.#at, page),
      ({ name }) => name,
      pageSize,
    );
    const manifests = await readAll(
      (page) => metadata.inventory.manifests(this.#at, page),
      ({ digest }) => digest,
      pageSize,
    );
    return { tags: tags.map(({ name }) => name), digests: manifests.map(({ digest }) => digest) };
  }

  async #carryOut(caller: Caller, plan: DeletionPlan): Promise<Outcome> {
    const outcome: Outcome = {
      plan,
      tags: new Map(),
      manifests: new Map(),
      stays: [...plan.stays],
      refused: [...plan.refused],
    };
    const isImmutable = (tag: Tag): boolean => this.#patternOf(tag) !== undefined;
    for (const batch of batchesOf([...plan.going.values()], ({ holders }) => holders.tags.some(isImmutable))) {
      await this.#deleteManifests(caller, batch, outcome);
    }
    const left = [...plan.tags].filter(([tag, digest]) => !outcome.tags.has(tag) && !isRefused(outcome, tag, digest));
    for (const batch of batchesOf(left, ([tag]) => isImmutable(tag))) await this.#deleteTags(caller, batch, outcome);
    return outcome;
  }

  /** Deletes manifests with their tags in one write. Leaves out those that changed since the plan was made. */
  async #deleteManifests(caller: Caller, batch: readonly PlannedManifest[], outcome: Outcome): Promise<void> {
    for (let attempt = 0; attempt <= maxRetries; attempt++) {
      const { doomed, require, stays } = await this.#checkAgain(batch, outcome);
      const when = this.#parts.runtime.now();
      const changes = [...doomed.values()].map(({ record }) => deletionOf(this.#config, this.#at, record.digest, when));
      const tags = [...doomed.values()].flatMap(({ holders }) => holders.tags);
      if (changes.length > 0 && !(await this.#write(caller, changes, { require, when, tags }))) continue;
      for (const [digest, { record, holders }] of doomed) {
        outcome.manifests.set(digest, record);
        for (const tag of holders.tags) this.#noteTag(caller, tag, digest, outcome);
        this.#parts.runtime.emit('manifest.deleted', { at: this.#at, digest, by: caller.actor });
      }
      outcome.stays.push(...stays);
      return;
    }
    outcome.refused.push(...batch.map(({ record }): RefusedDeletion => ({ digest: record.digest, reason: 'busy' })));
  }

  /** Reads what holds each manifest of a batch now. */
  async #checkAgain(batch: readonly PlannedManifest[], outcome: Outcome) {
    const doomed = new Map<Digest, PlannedManifest>();
    const require: Precondition[] = [];
    const stays: StayingManifest[] = [];
    for (const planned of batch) {
      const { digest } = planned.record;
      if ((await this.#image.manifest(digest)) === undefined) continue;
      const are = await this.#image.holders(digest);
      const cause = await this.#findChange(planned, are, doomed, outcome);
      if (cause !== undefined) {
        stays.push({ digest, ...cause });
        continue;
      }
      doomed.set(digest, { ...planned, holders: are });
      require.push({ type: 'manifest', at: this.#at, digest, is: 'present' });
      require.push({ type: 'holders', at: this.#at, digest, are });
      const { subject } = planned.record;
      // A referrer that follows its subject stays if the subject is pushed again in the meantime.
      if (!planned.isNamed && subject !== undefined && !doomed.has(subject) && !isStillToGo(outcome, subject)) {
        require.push({ type: 'manifest', at: this.#at, digest: subject, is: 'absent' });
      }
    }
    return { doomed, require, stays };
  }

  /** Returns why a manifest of the plan stays. */
  async #findChange(
    { record, holders, isNamed }: PlannedManifest,
    { tags, namedBy }: ManifestHolders,
    doomed: ReadonlyMap<Digest, unknown>,
    outcome: Outcome,
  ): Promise<Omit<StayingManifest, 'digest'> | undefined> {
    const tag = tags.find((one) => outcome.plan.tags.get(one) !== record.digest);
    if (tag !== undefined) return { because: 'tag', by: tag };
    const index = namedBy.find((one) => !doomed.has(one));
    if (index !== undefined) return { because: 'index', by: index };
    const { subject } = record;
    if (!isNamed && subject !== undefined && !doomed.has(subject) && !isStillToGo(outcome, subject)) {
      if ((await this.#image.manifest(subject)) !== undefined) return { because: 'subject', by: subject };
    }
    // A tag was moved away from it: the user who did that may want to move it back.
    const left = new Set(tags);
    return holders.tags.every((one) => left.has(one)) ? undefined : { because: 'changed' };
  }

  /** Deletes tags of manifests that stay, in one write. Leaves out those that moved since the plan was made. */
  async #deleteTags(caller: Caller, batch: readonly (readonly [Tag, Digest])[], outcome: Outcome): Promise<void> {
    for (let attempt = 0; attempt <= maxRetries; attempt++) {
      const doomed: (readonly [Tag, Digest])[] = [];
      const refused: RefusedDeletion[] = [];
      for (const [tag, digest] of batch) {
        const now = await this.#image.resolve(tag);
        if (now === digest) doomed.push([tag, digest]);
        else refused.push(now === undefined ? { tag, reason: 'unknown' } : { tag, digest: now, reason: 'moved' });
      }
      const when = this.#parts.runtime.now();
      const at = this.#at;
      const changes = doomed.map(([tag]): Change => ({ type: 'tag.delete', at, tag }));
      const require = doomed.map(([tag, digest]): Precondition => ({ type: 'tag', at, tag, is: { digest } }));
      const tags = doomed.map(([tag]) => tag);
      if (changes.length > 0 && !(await this.#write(caller, changes, { require, when, tags }))) continue;
      for (const [tag, digest] of doomed) this.#noteTag(caller, tag, digest, outcome);
      outcome.refused.push(...refused);
      return;
    }
    outcome.refused.push(...batch.map(([tag, digest]): RefusedDeletion => ({ tag, digest, reason: 'busy' })));
  }

  /** @param tags the tags that the write deletes. They include an immutable tag only after an override. */
  #write(
    { actor }: Caller,
    changes: readonly Change[],
    { require, when, tags }: { require: readonly Precondition[]; when: number; tags: readonly Tag[] },
  ): Promise<boolean> {
    const isOverridden = tags.some((tag) => this.#patternOf(tag) !== undefined);
    const by = { actor, at: when, ...(isOverridden ? { override: true as const } : {}) };
    return this.#parts.metadata.tryApply(changes, { durable: true, require, by });
  }

  #patternOf(tag: Tag): string | undefined {
    return immutablePatternOf(this.#config, tag);
  }

  #noteTag(caller: Caller, tag: Tag, digest: Digest, outcome: Outcome): void {
    outcome.tags.set(tag, digest);
    this.#parts.runtime.emit('tag.deleted', { at: this.#at, tag, by: caller.actor });
  }

  async #report({ tags, manifests, stays, refused }: Outcome): Promise<DeletionReport> {
    const freesBytes = await this.#countFreed(manifests);
    // Content that leaves the trash has spent the grace period there, or a part of it.
    const keptMs = Math.max(this.#parts.graceMs, this.#config.trashSeconds * 1000);
    const freesAt = this.#parts.runtime.now() + keptMs;
    return {
      tags: [...tags].map(([tag, digest]) => ({ tag, digest })).sort((a, b) => (a.tag < b.tag ? -1 : 1)),
      manifests: [...manifests.values()].map(({ digest, mediaType, size }) => ({ digest, mediaType, size })),
      stays,
      refused,
      freesBytes,
      ...(freesBytes === 0 ? {} : { freesAt }),
    };
  }

  /** Sums the content of deleted manifests that nothing else needs, before or after their deletion. */
  async #countFreed(deleted: ReadonlyMap<Digest, ManifestRecord>): Promise<number> {
    const { metadata } = this.#parts;
    const turn = takeTurns();
    const seen = new Set<Digest>();
    let bytes = 0;
    for (const record of deleted.values()) {
      for (const digest of [record.digest, ...record.references]) {
        await turn();
        if (seen.has(digest)) continue;
        seen.add(digest);
        const size = deleted.get(digest)?.size ?? (await this.#sizeOfBlob(digest));
        if (size === undefined || !(await this.#isFree(digest, deleted))) continue;
        if (!(await metadata.inventory.isHeldElsewhere(this.#at, digest))) bytes += size;
      }
    }
    return bytes;
  }

  /** Returns the size of a linked blob that is not a manifest of the image too. */
  async #sizeOfBlob(digest: Digest): Promise<number | undefined> {
    if ((await this.#image.manifest(digest)) !== undefined) return undefined;
    return (await this.#parts.metadata.link(this.#at, digest))?.size;
  }

  async #isFree(digest: Digest, deleted: ReadonlyMap<Digest, unknown>): Promise<boolean> {
    return (await this.#image.holders(digest)).namedBy.every((one) => deleted.has(one));
  }
}

/** Returns whether a later write deletes the manifest. */
function isStillToGo({ plan, manifests, stays, refused }: Outcome, digest: Digest): boolean {
  if (!plan.going.has(digest) || manifests.has(digest)) return false;
  return ![...stays, ...refused].some((one) => one.digest === digest);
}

function isRefused({ refused }: Outcome, tag: Tag, digest: Digest): boolean {
  return refused.some((one) => one.tag === tag || (one.tag === undefined && one.digest === digest));
}

/** Reads an image from the index. */
function readImage({ metadata }: LocalParts, at: ImageKey): Omit<PlannedImage, 'immutableBy' | 'keptBy'> {
  return {
    manifest: (digest) => metadata.manifest(at, digest),
    resolve: async (tag) => (await metadata.tag(at, tag))?.digest,
    holders: (digest) => metadata.inventory.holders(at, digest),
    referrers: (digest) =>
      itemsOf(
        (page) => metadata.referrers(at, digest, page),
        (referrer) => referrer.digest,
        { limit: pageSize },
      ),
  };
}
