import type { Principal } from '../ports/access.js';

/** Whoever did not log in. */
export const anonymous: Principal = { id: 'anonymous', groups: [], via: 'anonymous' };
