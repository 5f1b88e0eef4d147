import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findCredentials } from '../../../src/command/client/credentials.js';
import { basic } from '../../support/access/access.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let home: string;
beforeAll(async () => {
  home = await makeScratchFolder();
});
afterAll(() => removeScratchFolder(home));

const url = new URL('https://registry.example:5000/tools');
const auth = (login: string) => ({ auth: Buffer.from(login).toString('base64') });

async function find(logins: unknown, env: Record<string, string> = {}, user?: string, at = url) {
  await mkdir(path.join(home, '.docker'), { recursive: true });
  await writeFile(path.join(home, '.docker/config.json'), typeof logins === 'string' ? logins : JSON.stringify(logins));
  return findCredentials(at, user, { env: { HOME: home, ...env } });
}

describe('the credentials for a registry', () => {
  const docker = { auths: { 'registry.example:5000': auth('ana:secret') } };

  it.each<[what: string, env: Record<string, string>, user: string | undefined, expected: string]>([
    ['the flag before everything', { ARTIFACTAPI_TOKEN: 't' }, 'ben:pw', basic('ben', 'pw')],
    ['the token before the user', { ARTIFACTAPI_TOKEN: 't', ARTIFACTAPI_USER: 'x' }, undefined, 'Bearer t'],
    ['the user', { ARTIFACTAPI_USER: 'x', ARTIFACTAPI_PASSWORD: 'y' }, undefined, basic('x', 'y')],
    ['a login of docker', { ARTIFACTAPI_TOKEN: '' }, undefined, basic('ana', 'secret')],
  ])('are %s', async (_what, env, user, expected) => {
    expect((await find(docker, env, user)).authorization).toBe(expected);
  });

  it('are in the URL', async () => {
    const at = new URL('https://an%40a:p%3Aw@registry.example:5000');
    expect((await find(docker, {}, undefined, at)).authorization).toBe(basic('an@a', 'p:w'));
  });

  it.each<[what: string, logins: unknown]>([
    ['another host', { auths: { 'other.example': auth('a:b') } }],
    ['another port', { auths: { 'registry.example': auth('a:b') } }],
    ['a broken file', '{'],
    ['another form', { auths: { 'registry.example:5000': { auth: 7 } } }],
    ['null', null],
  ])('are not taken from a login for %s', async (_what, logins) => {
    expect(await find(logins)).toEqual({ from: expect.stringMatching(/^none; use --user/) as string });
  });

  it('are not an identity token, which cannot administer', async () => {
    const logins = { auths: { 'registry.example:5000': { identitytoken: 'x' } } };
    expect(await find(logins)).toEqual({ from: expect.stringContaining('is an identity token') as string });
  });

  it('come from a credential helper, and a failing helper is explained', async () => {
    const tools = path.join(home, 'tools');
    await mkdir(tools, { recursive: true });
    await writeFile(
      path.join(tools, 'docker-credential-good'),
      '#!/bin/sh\nread host\necho "{\\"Username\\":\\"$host\\",\\"Secret\\":\\"s\\"}"\n',
    );
    await writeFile(path.join(tools, 'docker-credential-bad'), '#!/bin/sh\nexit 1\n');
    for (const name of ['good', 'bad']) await chmod(path.join(tools, `docker-credential-${name}`), 0o755);
    const before = process.env['PATH'];
    process.env['PATH'] = `${tools}:${before}`;
    try {
      const good = await find({ credHelpers: { 'registry.example:5000': 'good' } });
      expect(good.authorization).toBe(basic('registry.example:5000', 's'));
      const stored = await find({ auths: { 'registry.example:5000': {} }, credsStore: 'good' });
      expect(stored.authorization).toBe(basic('registry.example:5000', 's'));
      const bad = await find({ credHelpers: { 'registry.example:5000': 'bad' } });
      expect(bad).toEqual({ from: expect.stringMatching(/^none from .*ended with exit code 1$/) as string });
    } finally {
      process.env['PATH'] = before;
    }
  });
});
