import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, json, manage, startAccess, type AccessScene } from '../support/access/access.js';
import { readTestCertificate } from '../support/upstreams/fault-upstream.js';
import { Cleanups } from '../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterAll(() => cleanups.run());

describe('A PUT of a repository by its administrator', () => {
  let scene: AccessScene;
  const document = { package_type: 'docker', repo_type: 'remote', url: 'http://upstream.example' };
  const credentials = { username: 'svc', password: 'S3CRET' };
  beforeAll(async () => {
    scene = await startAccess(cleanups, {
      users: ['root', 'keeper'],
      access: {
        rules: [
          { users: ['root'], allow: ['admin'] },
          { names: 'hub-*', users: ['keeper'], allow: ['admin'] },
        ],
      },
    });
  });

  it.each([
    [{ proxy: 'http://elsewhere.example' }, false],
    [{ ca: readTestCertificate().cert }, false],
    [{ url: 'http://elsewhere.example' }, false],
    [{ trusted_realms: ['elsewhere.example'] }, false],
    [{ allow_private_targets: ['10.0.0.1'] }, true],
    [{ description: 'changed' }, true],
  ])('that changes %j keeps the stored credentials: %s', async (change, isKept) => {
    const name = `hub-${Object.keys(change).join()}`;
    await manage(scene.as(basic('root')), 'POST', 'repositories', { ...document, name, credentials });
    const body = JSON.stringify({ ...document, ...change });
    const answer = await scene.as(basic('keeper'))('PUT', `/api/v1/repositories/${name}`, { headers: json, body });
    expect([answer.status, (answer.json() as { has_credentials: boolean }).has_credentials]).toEqual([200, isKept]);
  });
});
