/** Shared by the indexes: the errors of refused writes. */
import type { Precondition } from '../ports/metadata/metadata.js';
import type { ExceededUsage } from '../ports/metadata/quotas.js';
import { ConflictError } from '../util/conflict-error.js';

/** A precondition that is checked before the changes. */
export type EarlyPrecondition = Exclude<Precondition, { type: 'usage' }>;
type OfImage = Extract<EarlyPrecondition, { at: object }>;

/** Returns the conflict of a precondition that does not hold. */
export function failedPrecondition(precondition: EarlyPrecondition): ConflictError {
  return new ConflictError(`precondition failed: ${describe(precondition)}`);
}

/** Returns whether a write succeeded: `false`, or the exceeded quota, after a conflict. @throws other failures */
export async function resultOf(write: Promise<void>): Promise<boolean | ExceededUsage> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return error.exceeded ?? false;
    throw error;
  }
}

/** Returns whether a list has exactly the expected members, in any order. */
export function hasExactly(found: readonly string[], expected: readonly string[]): boolean {
  const members = new Set(found);
  return found.length === expected.length && expected.every((member) => members.has(member));
}

function describe(precondition: EarlyPrecondition): string {
  const { type } = precondition;
  if (type === 'repository') return `repository "${precondition.name}" must be ${precondition.is}`;
  if (type === 'repositories') return 'the repositories must be the expected ones';
  if (type === 'session') return `session "${precondition.id}" must be ${precondition.is}`;
  if (type === 'document') return `${precondition.kind} "${precondition.id}" must be ${precondition.is}`;
  if (type === 'referenced') return `${precondition.digest} must be referenced`;
  if (type === 'unreferenced') return `${precondition.digest} must not be referenced`;
  if (type === 'bytes') return `${precondition.digest} must be stored with ${precondition.size} bytes`;
  if (type === 'candidate') {
    const { kind, digest, since } = precondition.candidate;
    return `${digest} must be a candidate (${kind}) since ${since}`;
  }
  return describeOfImage(precondition);
}

function describeOfImage(precondition: OfImage): string {
  const { type } = precondition;
  const image = `${precondition.at.repository}/${precondition.at.image}`;
  if (type === 'named') return `a manifest of "${image}" must name ${precondition.digest}`;
  if (type === 'unnamed') return `no manifest of "${image}" may name ${precondition.digest}`;
  if (type === 'holders') return `the holders of ${precondition.digest} in "${image}" must be the expected ones`;
  const what = type === 'tag' ? precondition.tag : precondition.digest;
  const is = typeof precondition.is === 'string' ? precondition.is : JSON.stringify(precondition.is);
  return `${type} "${what}" of "${image}" must be ${is}`;
}
