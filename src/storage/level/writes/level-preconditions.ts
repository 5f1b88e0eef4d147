import { ConflictError } from '../../../util/conflict-error.js';
import type { Precondition } from '../../../ports/metadata.js';
import type { ImageKey } from '../../../ports/images.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import {
  holderPrefix,
  keptPrefix,
  linkKey,
  manifestKey,
  namedPrefix,
  documentKey,
  repositoryKey,
  sessionKey,
  tagKey,
  taggedPrefix,
  type Place,
} from '../level-keys.js';
import type { LevelView } from '../level-view.js';

/**
 * Checks preconditions against the index and the earlier writes of the group.
 * @throws ConflictError for the first that does not hold
 */
export async function requireAll(view: LevelView, preconditions: readonly Precondition[]): Promise<void> {
  const turn = takeTurns();
  for (const precondition of preconditions) {
    await turn();
    // Checked after the changes: see `LevelSizes`.
    if (precondition.type === 'usage') continue;
    if (!(await holds(view, precondition))) throw new ConflictError(`precondition failed: ${describe(precondition)}`);
  }
}

async function holds(view: LevelView, precondition: Exclude<Precondition, { type: 'usage' }>): Promise<boolean> {
  const { type } = precondition;
  if (type === 'repository') return isThere(view.get(repositoryKey(precondition.name)), precondition.is);
  if (type === 'session') return isThere(findSession(view, precondition.id), precondition.is);
  if (type === 'document') return isThere(view.get(documentKey(precondition.kind, precondition.id)), precondition.is);
  if (type === 'referenced' || type === 'unreferenced') {
    return (await view.hasMembers(holderPrefix(precondition.digest))) === (type === 'referenced');
  }
  // A missing repository behaves like an empty one.
  const place = findPlace(view, precondition.at);
  if (type === 'holders') return place !== undefined && areHolders(view, place, precondition);
  if (type === 'named' || type === 'unnamed') {
    const { digest } = precondition;
    const named =
      place !== undefined &&
      ((await view.hasMembers(namedPrefix(place, digest))) || (await view.hasMembers(keptPrefix(place, digest))));
    return named === (type === 'named');
  }
  if (type === 'manifest') return isThere(place && view.get(manifestKey(place, precondition.digest)), precondition.is);
  if (type === 'tag') {
    const tag = place && view.get(tagKey(place, precondition.tag));
    return typeof precondition.is === 'string' ? isThere(tag, precondition.is) : tag?.digest === precondition.is.digest;
  }
  const link = place && view.get(linkKey(place, precondition.digest));
  const { is } = precondition;
  return typeof is === 'string' ? isThere(link, is) : link?.linkedAt === is.linkedAt;
}

async function areHolders(
  view: LevelView,
  place: Place,
  { digest, are }: Extract<Precondition, { type: 'holders' }>,
): Promise<boolean> {
  const isSame = (found: readonly string[], expected: readonly string[]): boolean => {
    const members = new Set(found);
    return found.length === expected.length && expected.every((member) => members.has(member));
  };
  return (
    isSame(await view.members(taggedPrefix(place, digest)), are.tags) &&
    isSame(await view.members(namedPrefix(place, digest)), are.namedBy)
  );
}

function isThere(value: unknown, is: 'present' | 'absent'): boolean {
  return (value !== undefined) === (is === 'present');
}

function findPlace(view: LevelView, at: ImageKey): Place | undefined {
  const stored = view.get(repositoryKey(at.repository));
  return stored && { id: stored.id, image: at.image };
}

/** Returns `undefined` for a session of a deleted repository, though its key may still exist. */
function findSession(view: LevelView, id: Extract<Precondition, { type: 'session' }>['id']): unknown {
  const stored = view.get(sessionKey(id));
  if (stored === undefined) return undefined;
  return view.get(repositoryKey(stored.session.at.repository))?.id === stored.repositoryId ? stored : undefined;
}

function describe(precondition: Exclude<Precondition, { type: 'usage' }>): string {
  const { type } = precondition;
  if (type === 'repository') return `repository "${precondition.name}" must be ${precondition.is}`;
  if (type === 'session') return `session "${precondition.id}" must be ${precondition.is}`;
  if (type === 'document') return `${precondition.kind} "${precondition.id}" must be ${precondition.is}`;
  if (type === 'referenced') return `${precondition.digest} must be referenced`;
  if (type === 'unreferenced') return `${precondition.digest} must not be referenced`;
  const image = `${precondition.at.repository}/${precondition.at.image}`;
  if (type === 'named') return `a manifest of "${image}" must name ${precondition.digest}`;
  if (type === 'unnamed') return `no manifest of "${image}" may name ${precondition.digest}`;
  if (type === 'holders') return `the holders of ${precondition.digest} in "${image}" must be the expected ones`;
  const what = type === 'tag' ? precondition.tag : precondition.digest;
  const is = typeof precondition.is === 'string' ? precondition.is : JSON.stringify(precondition.is);
  return `${type} "${what}" of "${image}" must be ${is}`;
}
