import type { Principal } from '../ports/access/access.js';

/** The principal of requests without a login. */
export const anonymous: Principal = { id: 'anonymous', groups: [], via: 'anonymous' };
