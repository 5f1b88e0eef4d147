import { afterAll, expect, it } from 'vitest';
import { startAccess } from '../support/access/access.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

it('the limit per user does not apply to anonymous users, with a token, an empty password or no credentials', async () => {
  const { ask, as, token } = await startAccess(cleanups, {
    access: { rules: [{ names: 'public', anonymous: true, allow: ['pull'] }] },
    limits: { maxRequestsPerMinutePerPrincipal: 2 },
  });
  const nobody = as(`Bearer ${await token('repository:public/app:pull')}`);
  for (const anyone of [nobody, as('Basic Og=='), ask]) {
    for (let i = 0; i < 4; i++) expect((await anyone('GET', '/v2/public/app/tags/list')).status).toBe(404);
  }
});
