import { ConflictError } from '../../util/conflict-error.js';
import type { Precondition } from '../../ports/metadata.js';
import type { ImageKey } from '../../ports/images.js';
import {
  holderPrefix,
  linkKey,
  manifestKey,
  namedPrefix,
  documentKey,
  repositoryKey,
  sessionKey,
  tagKey,
  type Place,
} from './level-keys.js';
import type { LevelView } from './level-view.js';

/** Checks what must hold before a write, against the index and the writes before it. @throws ConflictError */
export async function requireAll(view: LevelView, preconditions: readonly Precondition[]): Promise<void> {
  for (const precondition of preconditions) {
    if (!(await holds(view, precondition)))
      throw new ConflictError(`it no longer holds that ${describe(precondition)}`);
  }
}

async function holds(view: LevelView, precondition: Precondition): Promise<boolean> {
  const { type } = precondition;
  if (type === 'repository') return isThere(view.get(repositoryKey(precondition.name)), precondition.is);
  if (type === 'session') return isThere(findSession(view, precondition.id), precondition.is);
  if (type === 'document') return isThere(view.get(documentKey(precondition.kind, precondition.id)), precondition.is);
  if (type === 'referenced' || type === 'unreferenced') {
    return (await view.hasMembers(holderPrefix(precondition.digest))) === (type === 'referenced');
  }
  // An unknown repository reads like one that holds nothing.
  const place = findPlace(view, precondition.at);
  if (type === 'named' || type === 'unnamed') {
    const named = place !== undefined && (await view.hasMembers(namedPrefix(place, precondition.digest)));
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

function isThere(value: unknown, is: 'present' | 'absent'): boolean {
  return (value !== undefined) === (is === 'present');
}

function findPlace(view: LevelView, at: ImageKey): Place | undefined {
  const stored = view.get(repositoryKey(at.repository));
  return stored && { id: stored.id, image: at.image };
}

/** A session of a deleted repository is absent, though its key may still be there. */
function findSession(view: LevelView, id: Extract<Precondition, { type: 'session' }>['id']): unknown {
  const stored = view.get(sessionKey(id));
  if (stored === undefined) return undefined;
  return view.get(repositoryKey(stored.session.at.repository))?.id === stored.repositoryId ? stored : undefined;
}

function describe(precondition: Precondition): string {
  const { type } = precondition;
  if (type === 'repository') return `the repository ${precondition.name} is ${precondition.is}`;
  if (type === 'session') return `the session ${precondition.id} is ${precondition.is}`;
  if (type === 'document') return `the ${precondition.kind} ${precondition.id} is ${precondition.is}`;
  if (type === 'referenced') return `something refers to ${precondition.digest}`;
  if (type === 'unreferenced') return `nothing refers to ${precondition.digest}`;
  const image = `${precondition.at.repository}/${precondition.at.image}`;
  if (type === 'named') return `a manifest of ${image} names ${precondition.digest}`;
  if (type === 'unnamed') return `no manifest of ${image} names ${precondition.digest}`;
  const what = type === 'tag' ? precondition.tag : precondition.digest;
  const is = typeof precondition.is === 'string' ? precondition.is : JSON.stringify(precondition.is);
  return `the ${type} ${what} of ${image} is ${is}`;
}
