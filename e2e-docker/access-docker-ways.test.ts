import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loginFlags } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import { dockerNeeds, dockerPull, dockerPush, dockerRefused, openDockerAccessBed } from './support/docker-access.js';
import type { DockerAccessBed } from './support/docker-access.js';

describeClient('docker', dockerNeeds, () => {
  describe.each([
    ['a Basic challenge', { challenge: 'basic' }],
    ['a Bearer challenge over TLS', { tls: true }],
  ] as const)('against %s', (_way, options) => {
    let bed: DockerAccessBed;

    beforeAll(async () => {
      bed = await openDockerAccessBed(options);
      await dockerPush(await bed.loggedIn('ana'), bed.ref('public/app:1'));
    });
    afterAll(() => bed?.close());

    test('cannot log in with a wrong password', async () => {
      const { docker } = await bed.newcomer();
      const login = docker('login', ...loginFlags('ana', 'guessed'), bed.registry.host);
      await expect(login).rejects.toThrow(
        /401 Unauthorized|wrong user name or password|incorrect username or password/,
      );
    });

    test('logs in, pushes, pulls and logs out', async () => {
      const docker = await bed.loggedIn('ana');
      const ref = bed.ref('docker-internal/team/app:1');
      await dockerPush(docker, ref);
      await dockerPull(docker, ref);
      await docker('logout', bed.registry.host);
      await expect(dockerPull(docker, ref)).rejects.toThrow(dockerRefused);
    });

    test('pulls public images but cannot push for a user outside of the team', async () => {
      const docker = await bed.loggedIn('ben');
      await dockerPull(docker, bed.ref('public/app:1'));
      await expect(dockerPush(docker, bed.ref('public/refused:1'))).rejects.toThrow(dockerRefused);
      expect(await bed.as('root').tagDigest('public/refused', '1')).toBeUndefined();
    });

    // This is why Bearer is the default.
    test('gives up without a login if the challenge is Basic', async () => {
      const { docker } = await bed.newcomer();
      const pulled = dockerPull(docker, bed.ref('public/app:1'));
      if ('challenge' in options) await expect(pulled).rejects.toThrow(/no basic auth credentials/);
      else expect((await pulled).stdout).toContain('Digest: sha256:');
    });
  });
});
