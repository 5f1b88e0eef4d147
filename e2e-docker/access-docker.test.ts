import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loginFlags } from './support/access-bed.js';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { dockerNeeds, dockerPull, dockerPush, dockerRefused, openDockerAccessBed } from './support/docker-access.js';
import type { Docker, DockerAccessBed } from './support/docker-access.js';
import { freshName } from './support/mirror-bed.js';

describeClient('docker against a Bearer challenge', dockerNeeds, () => {
  let bed: DockerAccessBed;

  beforeAll(async () => {
    bed = await openDockerAccessBed();
    const ana = await bed.loggedIn('ana');
    await dockerPush(ana, bed.ref('docker-internal/team/app:1'));
    await dockerPush(ana, bed.ref('public/app:1'));
  });
  afterAll(() => bed?.close());

  async function storedLogin(home: string): Promise<Record<string, string> | undefined> {
    const text = await readFile(join(home, '.docker/config.json'), 'utf8').catch(() => '{}');
    return (JSON.parse(text) as { auths?: Record<string, Record<string, string>> }).auths?.[bed.registry.host];
  }

  test('shows the reason when a login with a wrong password is refused', async () => {
    const { docker, home } = await bed.newcomer();
    const login = docker('login', ...loginFlags('ana', 'guessed'), bed.registry.host);
    await expect(login).rejects.toThrow(/wrong user name or password|incorrect username or password/);
    expect(await storedLogin(home)).toBeUndefined();
  });

  test('stores an identity token instead of the password, with which it pushes and pulls', async () => {
    const { docker, home } = await bed.newcomer();
    const ref = bed.ref('docker-internal/team/identity:1');
    const { stdout } = await docker('login', ...loginFlags('ana'), bed.registry.host);
    expect(stdout).toContain('Login Succeeded');
    const stored = await storedLogin(home);
    expect(stored?.['identitytoken']).toMatch(/\S/);
    expect(Buffer.from(stored?.['auth'] ?? '', 'base64').toString()).toBe('ana:');
    await dockerPush(docker, ref);
    expect((await dockerPull(docker, ref)).stdout).toContain('Downloaded newer image');
  });

  test('stays logged in after a rotation of the signing key', async () => {
    const docker = await bed.loggedIn('ana');
    await bed.manage(201, '/keys', { method: 'POST' });
    await dockerPush(docker, bed.ref('docker-internal/team/rotated:1'));
  });

  test.each([
    ['a public image, without a login', 'public/app:1', undefined],
    ['a public image, for a user who may not push it', 'public/app:1', 'ben'],
    ['a private image, for a member of the team', 'docker-internal/team/app:1', 'ana'],
    ['a private image by a virtual name', 'all/team/app:1', 'ana'],
    ['a public image by a virtual name, without a login', 'all/app:1', undefined],
  ] as const)('pulls %s', async (_case, name, user) => {
    const docker = user === undefined ? (await bed.newcomer()).docker : await bed.loggedIn(user);
    await dockerPull(docker, bed.ref(name));
  });

  test.each([
    ['a private image, without a login', 'docker-internal/team/app:1', undefined, dockerRefused],
    ['a private image, for a user outside of the team', 'docker-internal/team/app:1', 'ben', dockerRefused],
    // Everyone may use the virtual name, but not this member.
    ['a private image by a virtual name', 'all/team/app:1', 'ben', /not found|manifest unknown/],
  ] as const)('does not pull %s', async (_case, name, user, words) => {
    const docker = user === undefined ? (await bed.newcomer()).docker : await bed.loggedIn(user);
    await expect(dockerPull(docker, bed.ref(name))).rejects.toThrow(words);
  });

  test('gets the same error for private images that exist and that do not', async () => {
    const docker = await bed.loggedIn('ben');
    const wordsFor = async (image: string): Promise<string> => {
      const pulled = dockerPull(docker, bed.ref(`docker-internal/team/${image}:1`));
      const { message } = await pulled.then(
        () => expect.fail(`${image} was pulled`),
        (error: unknown) => error as Error,
      );
      return message.replaceAll(`team/${image}`, 'team/IMAGE');
    };
    const words = await wordsFor('app');
    expect(words).toMatch(dockerRefused);
    expect(await wordsFor('nothing')).toBe(words);
  });

  test.each([
    ['to a public repository, without a login', 'public/stranger:1', undefined],
    ['to a private repository, without a login', 'docker-internal/stranger:1', undefined],
    ['to a public repository, for a user outside of the team', 'public/stranger:1', 'ben'],
    ['by a virtual name, for a user outside of the team', 'all/stranger:1', 'ben'],
  ] as const)('does not push %s', async (_case, name, user) => {
    const docker = user === undefined ? (await bed.newcomer()).docker : await bed.loggedIn(user);
    await expect(dockerPush(docker, bed.ref(name))).rejects.toThrow(dockerRefused);
    expect(await bed.as('root').tagDigest('docker-internal/stranger', '1')).toBeUndefined();
    expect(await bed.as('root').tagDigest('public/stranger', '1')).toBeUndefined();
  });

  test('pushes by a virtual name to its push target', async () => {
    const docker = await bed.loggedIn('ana');
    await dockerPush(docker, bed.ref('all/team/virtual:1'));
    expect(await bed.as('ana').tagDigest('docker-internal/team/virtual', '1')).toBeDefined();
  });

  test('pulls only public images after a logout', async () => {
    const docker = await bed.loggedIn('ana');
    await dockerPull(docker, bed.ref('docker-internal/team/app:1'));
    await docker('logout', bed.registry.host);
    await expect(dockerPull(docker, bed.ref('docker-internal/team/app:1'))).rejects.toThrow(dockerRefused);
    await dockerPull(docker, bed.ref('public/app:1'));
  });

  test('logs in with the token of an account until the token is deleted', async () => {
    const json = { method: 'POST', headers: { 'content-type': 'application/json' } } as const;
    await bed.manage(201, '/accounts', { ...json, body: JSON.stringify({ name: 'robot', groups: ['team'] }) });
    const made = await bed.manage(201, '/accounts/robot/tokens', { ...json, body: '{}' });
    const { id, token } = made as { id: string; token: string };
    const { docker } = await bed.newcomer();
    await docker('login', '--username', 'robot', '--password', token, bed.registry.host);
    await dockerPush(docker, bed.ref('docker-internal/team/robot:1'));

    await bed.manage(204, `/accounts/robot/tokens/${id}`, { method: 'DELETE' });
    await expect(dockerPush(docker, bed.ref('docker-internal/team/robot:2'))).rejects.toThrow(dockerRefused);
    expect(await bed.as('ana').tagDigest('docker-internal/team/robot', '2')).toBeUndefined();
  });

  test.each([
    ['the legacy builder', '0'],
    ['BuildKit', '1'],
  ])('builds on a private image only with a login: %s', async (_builder, buildkit) => {
    const added = { DOCKER_BUILDKIT: buildkit };
    const context = join(bed.folder, `build-${buildkit}`);
    await mkdir(context, { recursive: true });
    await writeFile(
      join(context, 'Dockerfile'),
      `FROM ${bed.ref('docker-internal/team/app:1')}\nLABEL by=${buildkit}\n`,
    );
    const build = (docker: Docker) => docker('build', '--pull', '--network=none', context);
    const stranger = await bed.newcomer(added);
    await expect(build(stranger.docker)).rejects.toThrow(/denied|unauthorized|authorization failed|not found/);
    await build(await bed.loggedIn('ana', added));
  });

  test('uses a public repository as a mirror of Docker Hub without a login', async () => {
    const name = freshName();
    const image = await busyboxImage({ marker: name });
    await bed.as('ana').pushImage(`mirror/library/${name}`, '1', image);
    const { docker } = await bed.newcomer();
    const { stdout } = await docker('pull', `${name}:1`);
    expect(stdout).toContain(`Digest: ${image.manifest.digest}`);
  });
});
