import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, passwordOf, startAccess } from '../../support/access/access.js';
import { listen } from '../../support/servers/registry.js';
import { runCommand, type RunResult } from '../../support/servers/run-command.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let url: string;
beforeAll(async () => {
  const limited = await listen((_req, res) => res.writeHead(429, { 'Retry-After': '600' }).end());
  cleanups.add(() => limited.close());
  const scene = await startAccess(cleanups, {
    users: ['root'],
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: 'http://127.0.0.1:1' },
      { name: 'paused', type: 'remote', url: limited.url },
      { name: 'both', type: 'virtual', members: ['local', { name: 'hub', exclude: ['acme/**'] }] },
    ],
    access: { rules: [{ users: ['root'], allow: ['admin'] }] },
  });
  url = scene.server.url;
  await scene.as(basic('root'))('GET', '/v2/paused/app/manifests/1');
});
afterAll(() => cleanups.run());

const run = (...words: readonly string[]): Promise<RunResult> =>
  runCommand(words, {
    env: { ARTIFACTAPI_URL: url, ARTIFACTAPI_USER: 'root', ARTIFACTAPI_PASSWORD: passwordOf('root') },
  });

describe('artifactapi shows people', () => {
  it('the members of a virtual repository by their names', async () => {
    const { stdout } = await run('repositories');
    expect(stdout).toMatch(/^both +virtual +declared +local hub +-$/m);
    expect(stdout).toMatch(/^hub +remote +declared +http:\/\/127\.0\.0\.1:1 +-$/m);
  });

  it('whether requests reach an upstream, not the state of a circuit breaker', async () => {
    const { stdout } = await run('status');
    expect(stdout).toMatch(/^hub +remote .* ok$/m);
    expect(stdout).toMatch(/^paused +remote .* paused$/m);
    expect(stdout).toMatch(/^local +local .* -$/m);
  });

  it('that an upstream does not answer a probe, and exits with 1', async () => {
    const { code, stdout, stderr } = await run('probe', 'hub');
    expect([code, stderr]).toEqual([
      1,
      'artifactapi: the upstream of "hub" does not answer: the connection was refused\n',
    ]);
    expect(stdout).toMatch(/^breaker: +closed$/m);
  });
});
