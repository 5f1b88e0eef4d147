import { afterAll, expect, it } from 'vitest';
import { pushImage, startAccess } from '../support/access/access.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

it('a pull through a virtual repository needs a grant of the token server for the member too', async () => {
  const { generateKeyPair, exportSPKI, SignJWT } = await import('jose');
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const scene = await startAccess(cleanups, {
    repositories: [
      { name: 'private', type: 'local' },
      { name: 'all', type: 'virtual', members: ['private'], pushTo: 'private' },
    ],
    access: {
      tokenServer: {
        realm: 'https://auth.example/token',
        service: 'registry.example',
        issuer: 'auth.example',
        keys: [await exportSPKI(publicKey)],
      },
    },
  });
  const as = async (...names: string[]) => {
    const access = names.map((name) => ({ type: 'repository', name, actions: ['pull', 'push'] }));
    const token = await new SignJWT({ access })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer('auth.example')
      .setAudience('registry.example')
      .setSubject('ana')
      .setExpirationTime('5m')
      .sign(privateKey);
    return scene.as(`Bearer ${token}`);
  };
  const both = await as('all/app', 'private/app');
  await pushImage(both, 'all/app');
  const one = await as('all/app');
  expect((await both('GET', '/v2/all/app/manifests/v1')).status).toBe(200);
  expect((await one('GET', '/v2/all/app/manifests/v1')).status).toBe(404);
  expect((await one('POST', '/v2/all/app/blobs/uploads/')).status).toBe(401);
});
