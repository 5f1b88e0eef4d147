import type { Candidate, Precondition, RepositoryVersion } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import {
  condemnedKey,
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
import { placeKey } from '../level-ledger-keys.js';
import { sinceKey } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';
import { failedPrecondition, hasExactly, type EarlyPrecondition } from '../../conflicts.js';

/**
 * Checks preconditions against the index and the earlier writes of the group.
 * @param knowsPlaces whether the ledger has the places of all bytes
 * @throws ConflictError for the first that does not hold
 */
export async function requireAll(
  view: LevelView,
  preconditions: readonly Precondition[],
  knowsPlaces: boolean,
): Promise<void> {
  const turn = takeTurns();
  for (const precondition of preconditions) {
    const others = turn();
    if (others !== undefined) await others;
    // Checked after the changes: see `LevelSizes`.
    if (precondition.type === 'usage') continue;
    const held = holds(view, precondition, knowsPlaces);
    // Most answers are in memory, and a push has one precondition per layer.
    if (!(typeof held === 'boolean' ? held : await held)) throw failedPrecondition(precondition);
  }
}

function holds(view: LevelView, precondition: EarlyPrecondition, knowsPlaces: boolean): boolean | Promise<boolean> {
  const { type } = precondition;
  if (type === 'repository') return isThere(view.get(repositoryKey(precondition.name)), precondition.is);
  if (type === 'repositories') return areRepositories(view, precondition.are);
  if (type === 'session') return isThere(findSession(view, precondition.id), precondition.is);
  if (type === 'document') return isThere(view.get(documentKey(precondition.kind, precondition.id)), precondition.is);
  if (type === 'referenced' || type === 'unreferenced') {
    return view.hasMembers(holderPrefix(precondition.digest)).then((found) => found === (type === 'referenced'));
  }
  if (type === 'bytes') {
    const { digest, size } = precondition;
    return (!knowsPlaces || view.get(placeKey(digest))?.size === size) && view.get(condemnedKey(digest)) === undefined;
  }
  if (type === 'candidate') return isCandidate(view, precondition.candidate);
  // A missing repository behaves like an empty one.
  const place = findPlace(view, precondition.at);
  if (type === 'holders') return place !== undefined && areHolders(view, place, precondition);
  if (type === 'named' || type === 'unnamed') {
    return isNamed(view, place, precondition.digest).then((named) => named === (type === 'named'));
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

function areRepositories(view: LevelView, are: readonly RepositoryVersion[]): boolean {
  if (view.repositoryNames().length !== are.length) return false;
  return are.every(({ name, updatedAt }) => view.get(repositoryKey(name))?.record.updatedAt === updatedAt);
}

function isCandidate(view: LevelView, candidate: Candidate): boolean {
  const { digest, since } = candidate;
  const place = candidate.kind === 'link' ? findPlace(view, candidate.at) : undefined;
  if (candidate.kind === 'bytes') return view.get(sinceKey({ kind: 'bytes', digest })) === since;
  return place !== undefined && view.get(sinceKey({ kind: 'link', place, digest })) === since;
}

async function isNamed(view: LevelView, place: Place | undefined, digest: Digest): Promise<boolean> {
  if (place === undefined) return false;
  return (await view.hasMembers(namedPrefix(place, digest))) || view.hasMembers(keptPrefix(place, digest));
}

async function areHolders(
  view: LevelView,
  place: Place,
  { digest, are }: Extract<Precondition, { type: 'holders' }>,
): Promise<boolean> {
  return (
    hasExactly(await view.members(taggedPrefix(place, digest)), are.tags) &&
    hasExactly(await view.members(namedPrefix(place, digest)), are.namedBy)
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
