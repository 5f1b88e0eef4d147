import { afterAll, expect, it } from 'vitest';
import { basic, manage, startAccess } from '../support/access/access.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

it('the log line of a created account has its path', async () => {
  const { as, server } = await startAccess(cleanups, { access: { rules: [{ users: ['root'], allow: ['admin'] }] } });
  await manage(as(basic('root')), 'POST', 'accounts', { name: 'mallory' });
  const changed = server.log
    .filter(({ message }) => message === 'changed through the management API')
    .map(({ fields }) => fields);
  expect(changed).toEqual([
    expect.objectContaining({ principal: 'root', op: 'account.create', made: '/api/v1/accounts/mallory' }),
  ]);
});
