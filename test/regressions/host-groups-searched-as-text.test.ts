import { afterAll, expect, it } from 'vitest';
import type { HostIdentity } from '../../src/index.js';
import { startAccess } from '../support/access/access.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

it.each<[unknown, number]>([
  [['admins'], 200],
  [['not-admins'], 403],
  [undefined, 403],
  [null, 403],
  ['not-admins', 500],
  [[1], 500],
])('GET /api/v1/keys with the groups %j of a host identity answers %i', async (groups, status) => {
  const { ask } = await startAccess(cleanups, {
    access: {
      authenticate: () => ({ id: 'eve', groups }) as HostIdentity,
      rules: [{ groups: ['admins'], allow: ['admin'] }],
    },
  });
  expect((await ask('GET', '/api/v1/keys')).status).toBe(status);
});
