import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessWays, freshHome, loginFlags, openAccessBed } from './support/access-bed.js';
import type { AccessBed, User } from './support/access-bed.js';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { Image } from './support/images.js';
import type { Workspace } from './support/test-bed.js';

const refused =
  /unauthorized|denied|authentication required|basic credential not found|does not allow this|\b40[13]\b/i;

describeClient('crane', ['crane', 'busybox'], () => {
  describe.each(accessWays)('against %s', (_way, options) => {
    const isPlain = options.tls !== true;
    let bed: AccessBed;
    let image: Image;

    beforeAll(async () => {
      bed = await openAccessBed(options);
      image = await busyboxImage({ marker: 'crane logged in' });
      await writeLayout(join(bed.folder, 'layout'), '1', image);
      await crane(await home('ana'), 'push', join(bed.folder, 'layout'), bed.ref('public/app:1'));
    });
    afterAll(() => bed?.close());

    async function crane(from: Workspace, ...args: string[]): Promise<string> {
      return (await from.run('crane', ...(isPlain ? ['--insecure'] : []), ...args)).stdout.trim();
    }

    async function home(user?: User, password?: string): Promise<Workspace> {
      const own = await freshHome(bed);
      if (user !== undefined) await crane(own, 'auth', 'login', ...loginFlags(user, password), bed.registry.host);
      return own;
    }

    test('logs in, pushes, copies to another private name and pulls', async () => {
      const ana = await home('ana');
      const [pushed, copied] = [bed.ref('docker-internal/team/app:1'), bed.ref('docker-internal/copied/app:1')];
      await crane(ana, 'push', join(bed.folder, 'layout'), pushed);
      await crane(ana, 'copy', pushed, copied);
      await crane(ana, 'validate', '--remote', copied);
      await crane(ana, 'pull', bed.ref('all/copied/app:1'), join(bed.folder, 'pulled.tar'));
    });

    test('pulls only public images without a login', async () => {
      const stranger = await home();
      expect(await crane(stranger, 'digest', bed.ref('public/app:1'))).toBe(image.manifest.digest);
      await crane(stranger, 'validate', '--remote', bed.ref('all/app:1'));
      await expect(crane(stranger, 'manifest', bed.ref('docker-internal/team/app:1'))).rejects.toThrow(refused);
      const push = crane(stranger, 'push', join(bed.folder, 'layout'), bed.ref('public/stranger:1'));
      await expect(push).rejects.toThrow(refused);
    });

    test.each([
      ['a user outside of the team', 'ben', undefined],
      ['a wrong password', 'ana', 'guessed'],
    ] as const)('refuses a push of %s', async (_who, user, password) => {
      const push = crane(await home(user, password), 'push', join(bed.folder, 'layout'), bed.ref('public/refused:1'));
      await expect(push).rejects.toThrow(refused);
      expect(await catalog()).not.toContain('public/refused');
    });

    test('lists only images that the user may pull in the catalog', async () => {
      expect(await catalog('ben')).not.toContain('docker-internal/team/app');
      expect(await catalog('ana')).toEqual(expect.arrayContaining(['docker-internal/team/app', 'public/app']));
    });

    async function catalog(user: User = 'root'): Promise<string[]> {
      return (await crane(await home(user), 'catalog', bed.registry.host)).split('\n');
    }

    test('needs the delete permission to delete', async () => {
      const ref = bed.ref('docker-internal/team/deleted:1');
      await crane(await home('ana'), 'push', join(bed.folder, 'layout'), ref);
      await expect(crane(await home('ana'), 'delete', ref)).rejects.toThrow(refused);
      await crane(await home('root'), 'delete', ref);
      await expect(crane(await home('ana'), 'digest', ref)).rejects.toThrow(/404|MANIFEST_UNKNOWN/);
    });
  });
});
