import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveServeSettings } from '../../../src/command/serve/serve-settings.js';
import { Client } from '../../support/clients/client.js';
import { Command } from '../../support/servers/command.js';
import { freePort } from '../../support/servers/free-port.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { makeProject, openScene, type Scene } from '../../support/docs/scene.js';
import { listPages, parseSnippets, placeOf, root, snippetsWith, type Snippet } from '../../support/docs/snippets.js';

const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const rows = (snippets: readonly Snippet[]) => snippets.map((snippet) => [placeOf(snippet), snippet] as const);

describe('the snippet parser', () => {
  const markdown =
    'A\n\n<!-- test: skip it needs\na camera -->\n\n```sh\nshoot\n```\n\n- b\n\n  ```yaml\n  c: 1\n  ```\n\n```toml\n```\n';

  it('returns each block with its line, its language and the directive in its comment', () => {
    const [first, second, third] = parseSnippets('x.md', markdown);
    expect(first).toMatchObject({ line: 6, language: 'sh', text: 'shoot\n', directive: 'skip' });
    expect(first?.argument).toBe('it needs a camera');
    expect(second).toMatchObject({ line: 12, language: 'yaml', text: 'c: 1\n', directive: 'config' });
    expect(third).toMatchObject({ line: 16, language: 'toml', text: '', directive: undefined });
  });

  it('ignores comments of earlier blocks, and rejects unknown directives', () => {
    const [, second, third] = parseSnippets(
      'x.md',
      '<!-- test: run -->\n```sh\n```\n\n```sh\n```\n<!-- test: rum -->\n```sh\n```\n',
    );
    expect([second?.directive, third?.directive]).toEqual([undefined, undefined]);
  });
});

describe('a code block in the documentation', () => {
  it('is run by a test, or states why it is not', () => {
    expect(snippetsWith(undefined).map(placeOf)).toEqual([]);
  });

  it.each(rows(snippetsWith('skip')))('at %s is skipped for a reason in words', (_place, { argument, language }) => {
    if (language !== 'mermaid') expect(argument.split(' ').length).toBeGreaterThan(2);
  });

  it.each(rows(snippetsWith('by')))('at %s is run by a test file that names its page', (_place, { page, argument }) => {
    expect(argument).toMatch(/\.test\.ts$/);
    expect(existsSync(path.join(root, argument)), argument).toBe(true);
    expect(read(argument)).toContain(page.startsWith('examples/') ? (page.split('/')[1] ?? '') : page);
  });

  it('hashes passwords with bcrypt at cost 10', () => {
    const lines = listPages().flatMap((page) => read(page).match(/htpasswd -B.*/g) ?? []);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.filter((line) => !/^htpasswd -B -C 10[ `]/.test(line))).toEqual([]);
  });

  it.each(rows(snippetsWith('json')))('at %s is JSON', (_place, { text }) => {
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  });

  it.each(rows(snippetsWith('config')))('at %s is an accepted config file', (_place, { text }) => {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const keys = { SIGNING_KEY: String(key), OLD_SIGNING_KEY: String(key) };
    const environment = {
      HUB_USER: 'me',
      HUB_TOKEN: 'secret',
      DEPLOY_SECRET: 'a-secret-of-24-characters',
      OIDC_SECRET: 'secret',
      OLD_USER: 'me',
      OLD_PASSWORD: 'secret',
      ...keys,
    };
    expect(() => resolveServeSettings({}, { path: '/etc/registry.yaml', text }, environment)).not.toThrow();
  });
});

/** Runs a module that listens on port 5000, but on another port, while `use` sends requests to it. Returns its stderr. */
async function runServer(module: string, use: (client: Client) => Promise<void>): Promise<string> {
  const { folder, remove } = await makeProject();
  const port = await freePort();
  const file = path.join(folder, 'server.mjs');
  await writeFile(file, module.replaceAll(/\b5000\b/g, String(port)));
  const command = new Command(path.relative(root, file), [], { cwd: folder });
  const client = new Client(`http://127.0.0.1:${port}`);
  try {
    await reached(client, command);
    await use(client);
  } finally {
    await client.close();
    await command.stop();
    await remove();
  }
  return command.stderr;
}

/** Resolves once the server answers. Rejects with the output of the process if it ends. */
async function reached(client: Client, command: Command): Promise<void> {
  const ended = command.ended().then(({ stdout, stderr }) => stdout + stderr);
  while ((await client.get('/v2/').catch(() => undefined)) === undefined) {
    const output = await Promise.race([ended, sleep(20)]);
    if (output !== undefined) throw new Error(`the server has ended:\n${output}`);
  }
}

describe('a server in the documentation', () => {
  it('that does not start is reported with its output', async () => {
    await expect(runServer("throw new Error('no port 5000 for me');\n", async () => {})).rejects.toThrow(
      /no port \d+ for me/,
    );
  });

  it.each(rows(snippetsWith('server')))('at %s accepts an image and returns it', async (_place, { text, argument }) => {
    expect(text).toContain('5000');
    expect(await runServer(text, (client) => pushAndPull(client, argument))).toBe('');
  });
});

describe('a shell script in the documentation', () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await openScene();
  });
  afterAll(() => scene?.close());

  it('stops at the first command that fails', async () => {
    await expect(scene.runScript('false\necho on')).rejects.toThrow();
    await expect(scene.runScript('curl --fail --silent http://127.0.0.1:5000/v2/nowhere/tags/list')).rejects.toThrow();
    expect(await scene.runScript('npx artifactapi --version; pwd')).toMatch(/^\d+\.\d+\.\d+\n\//);
  });

  it.each(rows(snippetsWith('run')))('at %s runs without an error', async (_place, { text }) => {
    await scene.runScript(text);
  });
});
