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

  test('a login with a wrong password is refused, and says why', async () => {
    const { docker, home } = await bed.newcomer();
    const login = docker('login', ...loginFlags('ana', 'guessed'), bed.registry.host);
    await expect(login).rejects.toThrow(/wrong user name or password|incorrect username or password/);
    expect(await storedLogin(home)).toBeUndefined();
  });

  test('a login keeps an identity token instead of the password, which pushes and pulls', async () => {
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

  test('the login outlives the key that signs', async () => {
    const docker = await bed.loggedIn('ana');
    await bed.manage(201, '/keys', { method: 'POST' });
    await dockerPush(docker, bed.ref('docker-internal/team/rotated:1'));
  });

  test.each([
    ['a public image, without any login', 'public/app:1', undefined],
    ['a public image, for somebody who may not push it', 'public/app:1', 'ben'],
    ['a private image, for a member of the team', 'docker-internal/team/app:1', 'ana'],
    ['a private image by a virtual name', 'all/team/app:1', 'ana'],
    ['a public image by a virtual name, without any login', 'all/app:1', undefined],
  ] as const)('pulls %s', async (_case, name, user) => {
    const docker = user === undefined ? (await bed.newcomer()).docker : await bed.loggedIn(user);
    await dockerPull(docker, bed.ref(name));
  });

  test.each([
    ['a private image, without any login', 'docker-internal/team/app:1', undefined, dockerRefused],
    ['a private image, for somebody of no team', 'docker-internal/team/app:1', 'ben', dockerRefused],
    // The name is open to everybody, this member of it is not.
    ['a private image by a virtual name', 'all/team/app:1', 'ben', /not found|manifest unknown/],
  ] as const)('does not pull %s', async (_case, name, user, words) => {
    const docker = user === undefined ? (await bed.newcomer()).docker : await bed.loggedIn(user);
    await expect(dockerPull(docker, bed.ref(name))).rejects.toThrow(words);
  });

  test('what is private is refused in the same words whether it is there or not', async () => {
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
    ['to what anybody may pull, without any login', 'public/stranger:1', undefined],
    ['to what is private, without any login', 'docker-internal/stranger:1', undefined],
    ['to what anybody may pull, for somebody of no team', 'public/stranger:1', 'ben'],
    ['by a virtual name, for somebody of no team', 'all/stranger:1', 'ben'],
  ] as const)('does not push %s', async (_case, name, user) => {
    const docker = user === undefined ? (await bed.newcomer()).docker : await bed.loggedIn(user);
    await expect(dockerPush(docker, bed.ref(name))).rejects.toThrow(dockerRefused);
    expect(await bed.as('root').tagDigest('docker-internal/stranger', '1')).toBeUndefined();
    expect(await bed.as('root').tagDigest('public/stranger', '1')).toBeUndefined();
  });

  test('pushes by a virtual name, and the push target has it', async () => {
    const docker = await bed.loggedIn('ana');
    await dockerPush(docker, bed.ref('all/team/virtual:1'));
    expect(await bed.as('ana').tagDigest('docker-internal/team/virtual', '1')).toBeDefined();
  });

  test('after a logout nothing private comes any more, what is public does', async () => {
    const docker = await bed.loggedIn('ana');
    await dockerPull(docker, bed.ref('docker-internal/team/app:1'));
    await docker('logout', bed.registry.host);
    await expect(dockerPull(docker, bed.ref('docker-internal/team/app:1'))).rejects.toThrow(dockerRefused);
    await dockerPull(docker, bed.ref('public/app:1'));
  });

  test('logs in with the token of an account, until that is deleted', async () => {
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
  ])('%s builds on a private image with the login, and not without', async (_builder, buildkit) => {
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

  test('is a mirror for names of Docker Hub without any login, where anybody may pull', async () => {
    const name = freshName();
    const image = await busyboxImage({ marker: name });
    await bed.as('ana').pushImage(`mirror/library/${name}`, '1', image);
    const { docker } = await bed.newcomer();
    const { stdout } = await docker('pull', `${name}:1`);
    expect(stdout).toContain(`Digest: ${image.manifest.digest}`);
  });
});
