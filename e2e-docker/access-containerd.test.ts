import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { basicAuthorization, openAccessBed, userAndPassword } from './support/access-bed.js';
import type { AccessBed, User } from './support/access-bed.js';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { startContainerd } from './support/containerd.js';
import type { Containerd } from './support/containerd.js';
import type { Image } from './support/images.js';

// The native snapshotter copies instead of mounting, so nothing can stay mounted.
const snapshotter = '--snapshotter=native';
const refused = /401 Unauthorized|403 Forbidden|authorization failed|insufficient_scope|no basic auth credentials/;
const needs = ['root', 'ctr', 'containerd', 'containerd-shim-runc-v2', 'runc', 'busybox'];

describeClient('containerd', needs, () => {
  describe.each(['bearer', 'basic'] as const)('against a %s challenge', (challenge) => {
    let bed: AccessBed;
    let containerd: Containerd;
    let image: Image;

    beforeAll(async () => {
      bed = await openAccessBed({ challenge });
      containerd = await startContainerd(bed);
      bed.onClose(() => containerd.stop());
      image = await busyboxImage({ marker: 'containerd logged in' });
      const layout = join(bed.folder, 'layout');
      await writeLayout(layout, '1', image);
      await bed.run('tar', '-C', layout, '-cf', join(bed.folder, 'layout.tar'), '.');
      for (const name of ['public/app', 'docker-internal/team/app']) await bed.as('root').pushImage(name, '1', image);
    });
    afterAll(() => bed?.close());

    const as = (user?: User) => (user === undefined ? [] : ['--user', userAndPassword(user)]);

    async function push(name: string, user?: User): Promise<void> {
      const ref = bed.ref(name);
      const base = ref.slice(0, ref.lastIndexOf(':'));
      await containerd.ctr('images', 'import', snapshotter, '--base-name', base, join(bed.folder, 'layout.tar'));
      await containerd.ctr('images', 'push', '--plain-http', ...as(user), ref);
    }

    /** Pulls the image and removes it again. */
    async function pull(name: string, ...flags: string[]): Promise<void> {
      const ref = bed.ref(name);
      await containerd.ctr('images', 'remove', '--sync', ref);
      await containerd.ctr('images', 'pull', snapshotter, ...flags, ref);
      await containerd.ctr('images', 'remove', '--sync', ref);
    }

    test('pushes and pulls with a user name and a password', async () => {
      await push('docker-internal/team/pushed:1', 'ana');
      expect(await bed.as('ana').tagDigest('docker-internal/team/pushed', '1')).toBe(image.manifest.digest);
      await pull('docker-internal/team/pushed:1', '--plain-http', ...as('ana'));
      await pull('inside/team/pushed:1', '--plain-http', ...as('ana'));
    });

    // With Basic, public images get no challenge: a client without credentials could not continue.
    if (challenge === 'bearer')
      test('logs in to a registry with public images and pulls an image of the team', async () => {
        await push('docker-internal/team/inner:1', 'ana');
        await pull('all/team/inner:1', '--plain-http', ...as('ana'));
      });

    test('pulls with the password in hosts.toml', async () => {
      const hosts = join(bed.folder, 'hosts');
      await mkdir(join(hosts, bed.registry.host), { recursive: true });
      const file = [
        `[host."${bed.registry.origin}"]`,
        'capabilities = ["pull", "resolve"]',
        `[host."${bed.registry.origin}".header]`,
        `Authorization = "${basicAuthorization('ana')}"`,
      ];
      await writeFile(join(hosts, bed.registry.host, 'hosts.toml'), file.join('\n'));
      await pull('docker-internal/team/app:1', '--hosts-dir', hosts);
    });

    test('pulls only public images without a login', async () => {
      await pull('public/app:1', '--plain-http');
      await expect(pull('docker-internal/team/app:1', '--plain-http')).rejects.toThrow(refused);
      await expect(push('public/stranger:1')).rejects.toThrow(refused);
    });

    test('is refused for a user outside of the team and for a wrong password', async () => {
      await expect(push('public/stranger:1', 'ben')).rejects.toThrow(refused);
      expect(await bed.as('root').tagDigest('public/stranger', '1')).toBeUndefined();
      const guess = pull('docker-internal/team/app:1', '--plain-http', '--user', 'ana:guessed');
      await expect(guess).rejects.toThrow(refused);
    });
  });
});
