import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshHome, loginFlags, openAccessBed, userAndPassword } from './support/access-bed.js';
import type { AccessBed, User } from './support/access-bed.js';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { CommandResult } from './support/commands.js';
import type { Image } from './support/images.js';
import { containersTool } from './support/podman.js';

const needs = ['root', 'podman', 'buildah', 'skopeo', 'conmon', 'runc', 'busybox'];
const plainHttp = '--tls-verify=false';
const refused = /authentication required|unauthorized|denied|access to the requested resource is not authorized/;
/** The image in the storage of the engines, under a name without a registry. */
const base = 'localhost/app:1';

type Client = (...args: string[]) => Promise<CommandResult>;

for (const challenge of ['bearer', 'basic'] as const) {
  describeClient(`podman, buildah and skopeo against a ${challenge} challenge`, needs, () => {
    let bed: AccessBed;
    let image: Image;

    beforeAll(async () => {
      bed = await openAccessBed({ challenge });
      image = await busyboxImage({ marker: challenge });
      await writeLayout(join(bed.folder, 'layout'), '1', image);
      for (const name of ['docker-internal/team/app', 'public/app']) await bed.as('root').pushImage(name, '1', image);
      for (const tool of ['podman', 'buildah'] as const) {
        const client = await containersTool(bed, tool);
        // A relative path, because it becomes the local name of the image, which must not contain the capitals of a temporary folder.
        const { stdout } = await client('pull', '--quiet', 'oci:layout:1');
        await client('tag', stdout.trim(), base);
      }
    });
    afterAll(() => bed?.close());

    const docker = (name: string) => `docker://${bed.ref(name)}`;

    /** Returns a client with its own logins. */
    async function clientOf(tool: 'podman' | 'buildah', user?: User): Promise<Client> {
      const client = await containersTool(await freshHome(bed), tool);
      if (user !== undefined) await client('login', plainHttp, ...loginFlags(user), bed.registry.host);
      return client;
    }

    async function skopeo(...args: string[]): Promise<CommandResult> {
      return (await freshHome(bed)).run('skopeo', '--insecure-policy', ...args);
    }

    test.each(['podman', 'buildah'] as const)('%s cannot log in with a wrong password', async (tool) => {
      const client = await clientOf(tool);
      const login = client('login', plainHttp, ...loginFlags('ana', 'guessed'), bed.registry.host);
      await expect(login).rejects.toThrow(/invalid username\/password/);
    });

    test.each(['podman', 'buildah'] as const)('%s logs in, pushes, pulls and logs out', async (tool) => {
      const ref = bed.ref(`docker-internal/team/by-${tool}:1`);
      const client = await clientOf(tool, 'ana');
      await client('push', plainHttp, base, docker(`docker-internal/team/by-${tool}:1`));
      expect(await bed.as('ana').tagDigest(`docker-internal/team/by-${tool}`, '1')).toBeDefined();
      await client('pull', plainHttp, ref);
      await client('logout', bed.registry.host);
      // Not the one that it has in the meantime.
      await expect(client('pull', plainHttp, bed.ref('docker-internal/team/app:1'))).rejects.toThrow(refused);
    });

    // With Basic, these clients send an empty name and password where docker gives up.
    test.each(['podman', 'buildah'] as const)('%s pulls only public images without a login', async (tool) => {
      const client = await clientOf(tool);
      await client('pull', plainHttp, bed.ref('public/app:1'));
      await expect(client('pull', plainHttp, bed.ref('docker-internal/team/app:1'))).rejects.toThrow(refused);
      await expect(client('push', plainHttp, base, docker('public/stranger:1'))).rejects.toThrow(refused);
    });

    test.each(['podman', 'buildah'] as const)('%s cannot push for a user outside of the team', async (tool) => {
      const client = await clientOf(tool, 'ben');
      await expect(client('push', plainHttp, base, docker('public/stranger:1'))).rejects.toThrow(refused);
      expect(await bed.as('root').tagDigest('public/stranger', '1')).toBeUndefined();
    });

    test('skopeo copies, inspects, lists and deletes with a password from its flags', async () => {
      const to = ['--dest-tls-verify=false', '--dest-creds', userAndPassword('ana')];
      const name = docker('docker-internal/team/skopeo:1');
      await skopeo('copy', '--preserve-digests', ...to, `oci:${join(bed.folder, 'layout')}:1`, name);
      const { stdout } = await skopeo('inspect', plainHttp, '--creds', userAndPassword('ana'), name);
      expect(JSON.parse(stdout)).toMatchObject({ Digest: image.manifest.digest, RepoTags: ['1'] });

      const remove = (user: User) => skopeo('delete', plainHttp, '--creds', userAndPassword(user), name);
      await expect(remove('ana')).rejects.toThrow(/401|403|denied|unauthorized/i);
      await remove('root');
      expect(await bed.as('root').tagDigest('docker-internal/team/skopeo', '1')).toBeUndefined();
    });

    test('skopeo copies from one private name to another only with a login', async () => {
      const both = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      const names = [docker('docker-internal/team/app:1'), docker('docker-internal/other/app:1')];
      await expect(skopeo('copy', ...both, ...names)).rejects.toThrow(refused);
      const home = await freshHome(bed);
      await home.run('skopeo', 'login', plainHttp, ...loginFlags('ana'), bed.registry.host);
      await home.run('skopeo', '--insecure-policy', 'copy', ...both, ...names);
      await bed.as('ana').pullImage('docker-internal/other/app', '1', image);
    });

    test('skopeo reads public images without a login, by their own name and by a virtual one', async () => {
      for (const name of ['public/app', 'all/app']) {
        const { stdout } = await skopeo('list-tags', plainHttp, docker(name));
        expect(JSON.parse(stdout)).toMatchObject({ Tags: ['1'] });
        await skopeo(
          'copy',
          '--src-tls-verify=false',
          docker(`${name}:1`),
          `dir:${join(bed.folder, name.replace('/', '-'))}`,
        );
      }
    });
  });
}
