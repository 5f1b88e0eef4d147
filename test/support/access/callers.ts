import type { Actor } from '../../../src/ports/metadata/journal.js';
import type { Caller } from '../../../src/ports/repository.js';
import type { ImageKey } from '../../../src/ports/metadata/images.js';

/** Creates a caller who may pull and mount the images that `may` allows. */
export function callerWho(id: string, may: (at: ImageKey) => boolean): Caller {
  const answer = (at: ImageKey): Promise<boolean> => Promise.resolve(may(at));
  return {
    principal: { id, groups: [], via: 'basic' },
    actor: { principal: id, via: 'basic' },
    trail: [],
    hasLeft: () => false,
    reach: (repository) => Promise.resolve({ prefixes: [''], has: (image) => may({ repository, image }) }),
    mayPull: answer,
    mayMountFrom: answer,
  };
}

/** The actor of changes in tests. */
export const admin: Actor = { principal: 'admin', via: 'basic' };
