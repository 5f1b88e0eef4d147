/**
 * Decides which tags and manifests of an image a policy deletes. Pure: the same facts give the same decisions, so a dry
 * run cannot differ from the run. `retention-facts.ts` reads the facts, `retention-plan.ts` plans all images,
 * `retention-job.ts` carries a plan out. Imported by the composition root.
 */
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { matchesAny } from '../../protocol/patterns.js';
import type { RetentionPolicy } from '../../protocol/settings/retention-config.js';

/** A tag of an image. Times are in milliseconds since the epoch. */
export interface TagFacts {
  readonly name: Tag;
  readonly digest: Digest;
  /** When the tag was moved to its digest. */
  readonly pushedAt: number;
  /** When its manifest was last pulled. */
  readonly pulledAt?: number | undefined;
  /** The pattern that makes it immutable. */
  readonly immutable?: string | undefined;
}

/** A manifest of an image. */
export interface ManifestFacts {
  readonly digest: Digest;
  /** The latest of its push, its last pull, and the time when it lost a tag. */
  readonly lastUsedAt: number;
  readonly bytes: number;
  readonly references: readonly Digest[];
  readonly subject?: Digest | undefined;
}

export interface ImageFacts {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
}

/** A tag or a manifest to delete. */
export interface Doomed {
  readonly kind: 'tag' | 'manifest';
  readonly tag?: Tag;
  readonly digest: Digest;
  /** The reason. */
  readonly because: string;
  readonly lastUsedAt: number;
  /** The subject of a manifest, which must be deleted first. */
  readonly subject?: Digest | undefined;
}

/** The decision about an image. */
export interface ImageDecision {
  readonly doomed: readonly Doomed[];
  /** The share of its tags that would be deleted. */
  readonly share: number;
}

/** Applies a policy to an image. */
export function decide(policy: RetentionPolicy, { tags, manifests }: ImageFacts, now: number): ImageDecision {
  const doomedTags =
    policy.keep === undefined ? [] : tags.filter((tag) => keptBy(policy, tag, tags, now) === undefined);
  const gone = new Set(doomedTags.map(({ name }) => name));
  const tagged = new Set(tags.filter(({ name }) => !gone.has(name)).map(({ digest }) => digest));
  const untagged =
    policy.untagged === undefined ? [] : findUntagged(manifests, tagged, now - policy.untagged.keepSeconds * 1000);
  return {
    doomed: [
      ...doomedTags.map((tag) => describeTag(tag)),
      ...untagged.map(({ digest, lastUsedAt, subject }): Doomed => {
        return { kind: 'manifest', digest, because: 'untagged', lastUsedAt, subject };
      }),
    ],
    share: tags.length === 0 ? 0 : doomedTags.length / tags.length,
  };
}

/** Returns the line of the policy, or the immutability, that keeps a tag; `undefined` when nothing does. */
function keptBy(
  { keep = [] }: RetentionPolicy,
  tag: TagFacts,
  tags: readonly TagFacts[],
  now: number,
): string | undefined {
  if (tag.immutable !== undefined) return `immutable: ${tag.immutable}`;
  for (const [position, line] of keep.entries()) {
    if (!matchesAny(line.tags, tag.name)) continue;
    if (line.usedWithinSeconds !== undefined && lastUseOf(tag) < now - line.usedWithinSeconds * 1000) continue;
    if (line.newest !== undefined && !isAmongNewest(line.newest, tag, tags, line.tags)) continue;
    return `keep[${position}]`;
  }
  return undefined;
}

/**
 * Tags that were pushed at the same time as the last one that counts stay too, because it is not known which one is
 * newer.
 */
function isAmongNewest(newest: number, tag: TagFacts, tags: readonly TagFacts[], patterns: readonly string[]): boolean {
  const newer = tags.filter((other) => other.pushedAt > tag.pushedAt && matchesAny(patterns, other.name));
  return newer.length < newest;
}

/**
 * Returns old manifests that nothing keeps. A tag, a young manifest and everything that these name keep a manifest;
 * referrers stay with their subject.
 */
function findUntagged(
  manifests: readonly ManifestFacts[],
  tagged: ReadonlySet<Digest>,
  before: number,
): ManifestFacts[] {
  const byDigest = new Map(manifests.map((manifest) => [manifest.digest, manifest]));
  const referrers = new Map<Digest, Digest[]>();
  for (const { digest, subject } of manifests) {
    if (subject !== undefined) referrers.set(subject, [...(referrers.get(subject) ?? []), digest]);
  }
  const kept = new Set<Digest>();
  const reach = manifests.filter(({ digest, lastUsedAt }) => tagged.has(digest) || lastUsedAt >= before);
  // The list grows during the loop.
  for (const { digest, references } of reach) {
    if (kept.has(digest)) continue;
    kept.add(digest);
    for (const next of [...references, ...(referrers.get(digest) ?? [])]) {
      const manifest = byDigest.get(next);
      if (manifest !== undefined && !kept.has(next)) reach.push(manifest);
    }
  }
  return parentsFirst(manifests.filter(({ digest }) => !kept.has(digest)));
}

/**
 * Sorts an index before the manifests that it names, and a subject before its referrers: as long as one exists, the
 * other is in use.
 */
function parentsFirst(manifests: readonly ManifestFacts[]): ManifestFacts[] {
  const byDigest = new Map(manifests.map((manifest) => [manifest.digest, manifest]));
  const children = new Map(manifests.map(({ digest, references }) => [digest, [...references]]));
  for (const { digest, subject } of manifests) if (subject !== undefined) children.get(subject)?.push(digest);
  const parents = new Map<Digest, number>();
  for (const digest of [...children.values()].flat()) parents.set(digest, (parents.get(digest) ?? 0) + 1);
  const sorted = manifests.filter(({ digest }) => !parents.has(digest));
  // The list grows during the loop.
  for (const parent of sorted) {
    for (const digest of children.get(parent.digest) ?? []) {
      const left = (parents.get(digest) ?? 0) - 1;
      parents.set(digest, left);
      const manifest = byDigest.get(digest);
      if (left === 0 && manifest !== undefined) sorted.push(manifest);
    }
  }
  return sorted;
}

function lastUseOf({ pushedAt, pulledAt = 0 }: TagFacts): number {
  return Math.max(pushedAt, pulledAt);
}

function describeTag(tag: TagFacts): Doomed {
  return { kind: 'tag', tag: tag.name, digest: tag.digest, because: 'no line keeps it', lastUsedAt: lastUseOf(tag) };
}
