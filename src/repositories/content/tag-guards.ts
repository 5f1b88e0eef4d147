import type { Precondition } from '../../ports/metadata/metadata.js';
import { isMet, type Condition } from '../../protocol/conditions.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Tag } from '../../protocol/names.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { RepositoryConfig } from '../../protocol/settings/repository-config.js';

/** The digest that a tag names, in the form of a precondition. */
export type TagState = Extract<Precondition, { type: 'tag' }>['is'];

/**
 * Decides whether a write may change a tag that now names `present`. Returns the state that the tag must still have when the
 * write happens, or `any`. `leave`: the write leaves the tag as it is. The writer asks again after a conflict.
 * @throws RegistryError to refuse the write.
 */
export type TagGuard = (tag: Tag, present: Digest | undefined) => TagState | 'any' | 'leave';

/** Creates a guard that leaves tags unchanged if they changed since they were read. */
export function leaveMoved(expected: TagState): TagGuard {
  const digest = typeof expected === 'object' ? expected.digest : undefined;
  return (_tag, present) => (present === digest ? expected : 'leave');
}

/** Creates a guard that refuses with 412 while the condition of a client does not hold. */
export function requireCondition(condition: Condition): TagGuard {
  return (tag, present) => {
    if (!isMet(condition, present)) throw conditionFailed(present, tag);
    return stateOf(present, condition);
  };
}

/**
 * Creates a guard that refuses to move immutable tags to another digest than `to`, or without it, to delete them. Returns
 * `undefined` in a repository without immutable tags.
 */
export function keepImmutable(config: RepositoryConfig, image: string, to: Digest | undefined): TagGuard | undefined {
  if (!hasImmutableTags(config)) return undefined;
  return (tag, present) => {
    const pattern = immutablePatternOf(config, tag);
    if (pattern === undefined) return 'any';
    if (present === undefined) return 'absent';
    if (present === to) return { digest: present };
    const advice = to === undefined ? 'it cannot be deleted' : 'push under another tag';
    throw new RegistryError('DENIED', {
      message: `tag "${tag}" of "${config.name}/${image}" is immutable (pattern "${pattern}") and names ${present}: ${advice}`,
      detail: { tag, digest: present, pattern },
    });
  };
}

/** Returns whether a guard refuses to change a tag. */
export function refuses(guard: TagGuard | undefined, tag: Tag, present: Digest | undefined): boolean {
  try {
    guard?.(tag, present);
    return false;
  } catch {
    return true;
  }
}

/** Returns whether some tags of the repository are immutable. */
export function hasImmutableTags(config: RepositoryConfig): boolean {
  return config.type === 'local' && config.immutableTags.length > 0;
}

/** Combines guards: the first one that refuses or leaves a tag decides. */
export function joinGuards(guards: readonly (TagGuard | undefined)[]): TagGuard | undefined {
  const all = guards.filter((guard) => guard !== undefined);
  if (all.length < 2) return all[0];
  return (tag, present) => {
    const states = all.map((guard) => guard(tag, present));
    if (states.includes('leave')) return 'leave';
    // All states describe the present digest of the tag, so the most precise one implies the others.
    return states.find((state) => typeof state === 'object') ?? states.find((state) => state !== 'any') ?? 'any';
  };
}

/**
 * Returns the weakest precondition under which a condition that holds now still holds. With `If-Match: *`, concurrent
 * writers do not conflict.
 */
function stateOf(present: Digest | undefined, { match, noneMatch }: Condition): TagState {
  if (present === undefined) return 'absent';
  return match === '*' && noneMatch === undefined ? 'present' : { digest: present };
}

/** Returns the precondition on the manifest itself, of a request that concerns no tag. */
export function requireManifest(
  condition: Condition,
  digest: Digest,
  isPresent: boolean,
): Pick<Extract<Precondition, { type: 'manifest' }>, 'is'> {
  const present = isPresent ? digest : undefined;
  if (!isMet(condition, present)) throw conditionFailed(present);
  return { is: isPresent ? 'present' : 'absent' };
}

function conditionFailed(present: Digest | undefined, tag?: Tag): RegistryError {
  const what = tag === undefined ? 'the manifest' : `tag "${tag}"`;
  const state = present === undefined ? 'does not exist' : tag === undefined ? 'exists' : `names ${present}`;
  return new RegistryError('PRECONDITION_FAILED', {
    message: `the If-Match or If-None-Match of the request does not hold: ${what} ${state}`,
    detail: { ...(tag === undefined ? {} : { tag }), digest: present ?? null },
  });
}
