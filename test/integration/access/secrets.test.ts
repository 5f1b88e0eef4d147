import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RegistryEvents } from '../../../src/index.js';
import { managementEndpoints } from '../../../src/protocol/tables/management.js';
import { buildPath } from '../../../src/protocol/tables/route-table.js';
import {
  basic,
  form,
  json,
  manage,
  pushImage,
  startAccess,
  type AccessScene,
  type Ask,
} from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { exchangeRaw, rawHead } from '../../support/clients/raw.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
/** By what they are. The first ones are never kept, in whatever form. */
const secrets = new Map<string, string>([
  ['password', 'correct-horse-7f3a'],
  ['wrong password', 'battery-staple-19c2'],
  ['password in a form', 'form-password-55d1'],
  ['password in a URL', 'url-password-8e20'],
  ['token in a query', 'query-token-c441'],
  ["declared upstream's password", 'upstream-declared-0b6e'],
  ['private key', pem.toString().split('\n')[1] ?? ''],
]);
/** All that anybody could see. */
const seen: string[] = [];
let folder: string;
let auditFile: string;
let scene: AccessScene;
let root: Ask;

const secret = (what: string): string => secrets.get(what) ?? '';
const remember = (answer: Answer): Answer => {
  seen.push(JSON.stringify(answer.headers), answer.body.toString());
  return answer;
};

beforeAll(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const auditFolder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(auditFolder));
  auditFile = join(auditFolder, 'audit.jsonl');
  const fault = await startFaultUpstream();
  cleanups.add(() => fault.close());
  fault.auth = { type: 'basic', username: 'robot', password: 'something else' };
  scene = await startAccess(cleanups, {
    storage: folder,
    audit: { file: auditFile },
    password: () => secret('password'),
    repositories: [
      { name: 'local', type: 'local' },
      {
        name: 'hub',
        type: 'remote',
        url: fault.url,
        credentials: { username: 'robot', password: secret("declared upstream's password") },
      },
    ],
    access: { rules: [{ users: ['root', 'robot'], allow: ['admin'] }], tokens: { keys: [pem.toString()] } },
  });
  const { events } = scene.server.registry;
  const names: (keyof RegistryEvents)[] = ['request', 'manifest.pushed', 'repository.created', 'cache.answered'];
  for (const name of names) events.on(name, (event: unknown) => seen.push(inspect(event, { depth: 10 })));
  secrets.set('hash of a password', (await readFile(scene.htpasswd, 'utf8')).trim().slice('root:'.length));
  await use(fault.url);
});
afterAll(() => cleanups.run());

/** Everything that takes a secret, rightly and wrongly. */
async function use(upstream: string): Promise<void> {
  const auth = basic('root', secret('password'));
  root = scene.as(auth);
  await pushImage(root, 'local/app');
  const offline = await root('GET', '/v2/token?offline_token=true&scope=repository:local/app:pull');
  const given = offline.json() as { token: string; refresh_token: string };
  secrets.set('access token', given.token).set('refresh token', given.refresh_token);
  await manage(root, 'POST', 'accounts', { name: 'robot' });
  const account = (await manage(root, 'POST', 'accounts/robot/tokens', {})) as { id: string; token: string };
  secrets.set("account's token", account.token);
  const limits = [{ names: ['local/**'], allow: ['pull'] }];
  const limited = (await manage(root, 'POST', 'accounts/robot/tokens', { limits })) as { token: string };
  secrets.set("account's limited token", limited.token);
  const denied = await scene.as(basic('robot', limited.token))(
    'GET',
    `/api/v1/keys?token=${secret('token in a query')}`,
  );
  expect(remember(denied).status).toBe(403);
  secrets.set("managed upstream's password", 'upstream-managed-3d9f');
  await manage(root, 'POST', 'repositories', {
    name: 'managed',
    package_type: 'docker',
    repo_type: 'remote',
    url: upstream,
    credentials: { username: 'robot', password: secret("managed upstream's password") },
  });
  await useWrongly(account, given);
  for (const { method, path } of managementEndpoints) {
    if (method !== 'GET') continue;
    for (const repository of ['local', 'hub', 'managed']) {
      const params = { repository, image: 'app', account: 'robot', rule: 'declared-1' };
      const query = path.endsWith('explain') ? `?name=${repository}/app&reference=v1` : '';
      // The upstream refuses the credentials: 503. No answer is a fault of ours.
      expect(remember(await root('GET', buildPath(path, params) + query)).status).not.toBe(500);
    }
  }
}

async function useWrongly(
  account: { id: string; token: string },
  given: { token: string; refresh_token: string },
): Promise<void> {
  const { ask, as } = scene;
  const send = async (...request: Parameters<Ask>): Promise<void> => void remember(await ask(...request));
  const query = `token=${secret('token in a query')}&password=${secret('token in a query')}`;
  for (const authorization of [
    basic('root', secret('wrong password')),
    basic(secret('wrong password'), ''),
    `Bearer ${secret('wrong password')}`,
    `Digest ${secret('wrong password')}`,
    `Bearer ${given.token.slice(0, -4)}AAAA`,
    `Bearer ${given.token}`,
    `Bearer ${given.refresh_token}`,
    basic('robot', account.token),
    basic('other', account.token),
    basic('root', given.refresh_token),
  ]) {
    for (const path of ['/v2/', '/v2/token', '/v2/local/other/tags/list', '/api/v1/keys'])
      await send('GET', `${path}?${query}`, { headers: { Authorization: authorization } });
  }
  const fields = { username: 'root', password: secret('password in a form'), refresh_token: `${given.refresh_token}x` };
  for (const grant of ['password', 'refresh_token', 'other']) {
    const body = new URLSearchParams({ grant_type: grant, ...fields }).toString();
    await send('POST', '/v2/token', { headers: form, body });
    await send('POST', '/v2/token', { headers: json, body });
  }
  // What cannot be parsed, and what has its secret in the wrong place.
  for (const [path, body] of [
    ['accounts', `{"password":"${secret('password in a form')}`],
    ['accounts', JSON.stringify({ name: 'x', password: secret('password in a form') })],
    ['rules', JSON.stringify({ users: [' '], allow: [secret('password in a form')] })],
    [
      'repositories',
      JSON.stringify({ name: 'x', url: `https://u:${secret('password in a URL')}@up.example`, repo_type: 'remote' }),
    ],
  ] as const)
    remember(await root('POST', `/api/v1/${path}`, { headers: json, body }));
  for (const host of ['', `http://root:${secret('password in a URL')}@127.0.0.1`]) {
    const { body } = await exchangeRaw(
      scene.server.port,
      rawHead('GET', `${host}/v2/local/app/tags/list?sig=${secret('token in a query')}`),
    );
    seen.push(body);
  }
  // Upstreams that do not like our credentials, and one that is not there any more.
  for (const repository of ['hub', 'managed']) remember(await root('GET', `/v2/${repository}/app/manifests/v1`));
  await as(basic('robot', account.token))('POST', '/api/v1/gc');
  // A whole token in place of its id.
  remember(await root('DELETE', `/api/v1/accounts/robot/tokens/${account.token}`));
}

it('no secret appears in a log line, an event, an error or an answer of the management API', () => {
  for (const { level, fields, message } of scene.server.log)
    seen.push(`${level} ${message} ${inspect(fields, { depth: 10 })}`);
  expect(scene.server.log.some(({ message }) => message === 'changed through the management API')).toBe(true);
  const text = seen.join('\n');
  expect(text).toContain("op: 'token.post'");
  for (const [what, value] of secrets) {
    expect(value.length, what).toBeGreaterThan(10);
    const at = text.indexOf(value);
    expect(at < 0 ? '' : text.slice(Math.max(0, at - 200), at + 200), what).toBe('');
    const encoded = text.indexOf(Buffer.from(`root:${value}`).toString('base64'));
    expect(encoded, `${what} in base64`).toBe(-1);
  }
});

it('the audit file contains no secret', async () => {
  await scene.server.registry.close();
  const text = await readFile(auditFile, 'utf8');
  for (const what of ['login.succeeded', 'login.refused', 'request.denied', 'account-token.created', 'tag.moved'])
    expect(text).toContain(`"what":"${what}"`);
  for (const [what, value] of secrets) {
    expect(text.includes(value), what).toBe(false);
    expect(text.includes(Buffer.from(`root:${value}`).toString('base64')), `${what} in base64`).toBe(false);
  }
});

it('the data folder contains no password and no token', async () => {
  await scene.server.registry.close();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const contents = await Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')));
  const text = contents.join('\n');
  // What is kept of them is found, so the search sees what is there.
  expect(text).toContain(secret("account's token").split('_')[1]);
  for (const [what, value] of secrets) {
    if (what === "managed upstream's password") continue;
    expect(text.includes(value), what).toBe(false);
  }
});
