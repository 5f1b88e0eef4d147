import type { RefusedDeletion, StayingManifest } from '../../../ports/editing.js';
import type { ManifestRecord } from '../../../ports/metadata/images.js';
import type { ManifestHolders } from '../../../ports/operations/inventory.js';
import type { Digest } from '../../../protocol/digest.js';
import { isIndexType } from '../../../protocol/manifests/manifest.js';
import type { Tag } from '../../../protocol/names.js';
import { takeTurns } from '../../../util/scheduling/turns.js';

/** The content of one image, as a plan reads it. */
export interface PlannedImage {
  manifest(digest: Digest): Promise<ManifestRecord | undefined>;
  /** Returns what a tag names. */
  resolve(tag: Tag): Promise<Digest | undefined>;
  holders(digest: Digest): Promise<ManifestHolders>;
  referrers(digest: Digest): AsyncIterable<ManifestRecord>;
  /** Returns the pattern that makes a tag immutable. */
  immutableBy(tag: Tag): string | undefined;
  /** Returns why a hook keeps a tag or a manifest. */
  keptBy(key: Tag | Digest): string | undefined;
}

/** A manifest that may be deleted. */
export interface PlannedManifest {
  readonly record: ManifestRecord;
  readonly holders: ManifestHolders;
  /** Whether the request names it or one of its tags. Others follow an index or a subject. */
  readonly isNamed: boolean;
  /** The index or subject that led to it first. */
  readonly from?: Digest;
}

/** The planned effects of a deletion. */
export interface DeletionPlan {
  /** The tags to delete, with the manifests that they name. */
  readonly tags: ReadonlyMap<Tag, Digest>;
  /** The manifests to delete; an index comes before its children. */
  readonly going: ReadonlyMap<Digest, PlannedManifest>;
  readonly stays: readonly StayingManifest[];
  readonly refused: readonly RefusedDeletion[];
}

/** The tags and manifests that a request names, after those that do not exist or are immutable were refused. */
export interface Targets {
  readonly tags: Iterable<Tag>;
  readonly digests: Iterable<Digest>;
}

/**
 * Plans a deletion. A manifest is deleted with its last tag, unless an index that stays names it. Its children and referrers
 * are deleted too unless something else needs them: a tag, an index or, for a referrer, another subject.
 */
export async function planDeletion(image: PlannedImage, targets: Targets): Promise<DeletionPlan> {
  const draft = new PlanDraft(image);
  for (const tag of targets.tags) await draft.addTag(tag);
  for (const digest of targets.digests) await draft.addDigest(digest);
  await draft.expand();
  return draft.finish();
}

class PlanDraft {
  readonly #image: PlannedImage;
  readonly #tags = new Map<Tag, Digest>();
  readonly #found = new Map<Digest, PlannedManifest>();
  /** By tag or digest. */
  readonly #refused = new Map<string, RefusedDeletion>();
  readonly #turn = takeTurns();

  constructor(image: PlannedImage) {
    this.#image = image;
  }

  async addTag(tag: Tag): Promise<void> {
    await this.#turn();
    if (this.#tags.has(tag)) return;
    const digest = await this.#image.resolve(tag);
    const pattern = this.#image.immutableBy(tag);
    if (digest === undefined) this.#refused.set(tag, { tag, reason: 'unknown' });
    else if (pattern !== undefined) this.#refused.set(tag, { tag, digest, reason: 'immutable', by: pattern });
    else if (!this.#refuseKept(tag, { tag, digest })) {
      this.#tags.set(tag, digest);
      await this.#add(digest, { isNamed: true });
    }
  }

  async addDigest(digest: Digest): Promise<void> {
    await this.#turn();
    const found = await this.#add(digest, { isNamed: true });
    if (found === undefined) {
      this.#refused.set(digest, { digest, reason: 'unknown' });
      return;
    }
    if (this.#refuseKept(digest, { digest })) return;
    for (const tag of found.holders.tags) {
      const pattern = this.#image.immutableBy(tag);
      if (pattern !== undefined) this.#refused.set(tag, { tag, digest, reason: 'immutable', by: pattern });
      else if (!this.#refuseKept(tag, { tag, digest })) this.#tags.set(tag, digest);
    }
  }

  #refuseKept(key: Tag | Digest, what: Pick<RefusedDeletion, 'tag' | 'digest'>): boolean {
    const by = this.#image.keptBy(key);
    if (by !== undefined) this.#refused.set(key, { ...what, reason: 'hook', by });
    return by !== undefined;
  }

  /** Adds the children of indexes and the referrers of manifests, recursively. */
  async expand(): Promise<void> {
    // The map grows during the loop.
    for (const [digest, { record }] of this.#found) {
      await this.#turn();
      const children = isIndexType(record.mediaType) ? record.references : [];
      for (const child of children) await this.#add(child, { isNamed: false, from: digest });
      for await (const referrer of this.#image.referrers(digest)) {
        await this.#add(referrer.digest, { isNamed: false, from: digest });
      }
    }
  }

  async finish(): Promise<DeletionPlan> {
    const causes = await this.#findStaying();
    const going = new Map([...this.#found].filter(([digest]) => !causes.has(digest)));
    const stays: StayingManifest[] = [];
    for (const [digest, cause] of causes) {
      // Only manifests that were found have causes.
      const { isNamed, record } = this.#found.get(digest) as PlannedManifest;
      // Content that only belongs to something that stays needs no explanation.
      if (isNamed || this.#leadsHere(record, digest, going)) stays.push({ digest, ...cause });
    }
    return { tags: this.#tags, going: inOrder(going), stays, refused: [...this.#refused.values()] };
  }

  /** Returns whether the deletion of something else would have deleted the manifest too. */
  #leadsHere(record: ManifestRecord, digest: Digest, going: ReadonlyMap<Digest, PlannedManifest>): boolean {
    const { namedBy } = (this.#found.get(digest) as PlannedManifest).holders;
    return (record.subject !== undefined && going.has(record.subject)) || namedBy.some((index) => going.has(index));
  }

  /**
   * Returns the manifests that something needs, and why. Starts with those needed from outside and follows their
   * references.
   */
  async #findStaying(): Promise<Map<Digest, Omit<StayingManifest, 'digest'>>> {
    const causes = new Map<Digest, Omit<StayingManifest, 'digest'>>();
    const dependents = new Map<Digest, Digest[]>();
    for (const [digest, { record, holders, isNamed }] of this.#found) {
      await this.#turn();
      const tag = holders.tags.find((one) => this.#tags.get(one) !== digest);
      const index = holders.namedBy.find((one) => !this.#found.has(one));
      const reason = this.#image.keptBy(digest);
      if (reason !== undefined) causes.set(digest, { because: 'hook', by: reason });
      else if (tag !== undefined) causes.set(digest, { because: 'tag', by: tag });
      else if (index !== undefined) causes.set(digest, { because: 'index', by: index });
      // Then it has a subject.
      else if (!isNamed && (await this.#hasOtherSubject(record))) {
        causes.set(digest, { because: 'subject', by: record.subject as Digest });
      }
      for (const one of holders.namedBy) addTo(dependents, one, digest);
      if (!isNamed && record.subject !== undefined) addTo(dependents, record.subject, digest);
    }
    // The map grows during the loop.
    for (const digest of causes.keys()) {
      for (const dependent of dependents.get(digest) ?? []) {
        if (causes.has(dependent)) continue;
        const isChild = this.#found.get(dependent)?.holders.namedBy.includes(digest) === true;
        causes.set(dependent, { because: isChild ? 'index' : 'subject', by: digest });
      }
    }
    return causes;
  }

  /** Returns whether the image has a subject of the manifest that no part of the request leads to. */
  async #hasOtherSubject({ subject }: ManifestRecord): Promise<boolean> {
    if (subject === undefined || this.#found.has(subject)) return false;
    return (await this.#image.manifest(subject)) !== undefined;
  }

  async #add(digest: Digest, how: Omit<PlannedManifest, 'record' | 'holders'>): Promise<PlannedManifest | undefined> {
    const known = this.#found.get(digest);
    if (known !== undefined) {
      if (how.isNamed && !known.isNamed) this.#found.set(digest, { ...known, isNamed: true });
      return known;
    }
    const record = await this.#image.manifest(digest);
    if (record === undefined) return undefined;
    const added = { record, holders: await this.#image.holders(digest), ...how };
    this.#found.set(digest, added);
    return added;
  }
}

/**
 * Sorts manifests so that each comes after the indexes that name it: no index ever lacks its children. A
 * referrer comes after its subject too, unless its subject is one of its children.
 */
function inOrder(going: ReadonlyMap<Digest, PlannedManifest>): Map<Digest, PlannedManifest> {
  const sorted = new Map<Digest, PlannedManifest>();
  const unnamed = new Map([...going].map(([digest, { holders }]) => [digest, holders.namedBy.length]));
  const followers = new Map<Digest, Digest[]>();
  const blocked = new Set<Digest>();
  for (const [digest, { record }] of going) {
    if (record.subject === undefined || !going.has(record.subject)) continue;
    addTo(followers, record.subject, digest);
    blocked.add(digest);
  }
  const ready: Digest[] = [];
  const postponed: Digest[] = [];
  const offer = (digest: Digest): unknown => (blocked.has(digest) ? postponed : ready).push(digest);
  for (const [digest, count] of unnamed) if (count === 0) offer(digest);
  for (let next = ready.pop() ?? postponed.pop(); next !== undefined; next = ready.pop() ?? postponed.pop()) {
    const planned = going.get(next);
    if (planned === undefined || sorted.has(next)) continue;
    sorted.set(next, planned);
    for (const named of planned.record.references) {
      const count = unnamed.get(named);
      if (count === undefined) continue;
      unnamed.set(named, count - 1);
      if (count === 1) offer(named);
    }
    for (const follower of followers.get(next) ?? []) {
      if (blocked.delete(follower) && unnamed.get(follower) === 0) ready.push(follower);
    }
  }
  return sorted;
}

function addTo(lists: Map<Digest, Digest[]>, key: Digest, digest: Digest): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [digest]);
  else list.push(digest);
}
