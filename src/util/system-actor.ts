import type { Actor } from '../ports/metadata/journal.js';

/** The actor of changes that the registry makes by itself. */
export const system: Actor = { principal: 'system', via: 'system' };
