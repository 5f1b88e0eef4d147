import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createLocator } from '../../../src/command/config-positions.js';
import { examineConfig, type ConfigProblem } from '../../../src/command/serve/examine-config.js';
import type { ServeFlags } from '../../../src/command/serve/serve-settings.js';
import { bundledCommand, Command, type Ended } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
  await mkdir(path.join(folder, 'newer'));
  await writeFile(path.join(folder, 'newer/VERSION'), '99\n');
  await writeFile(path.join(folder, 'a-file'), 'text\n');
  await writeFile(path.join(folder, 'users'), '# users\nana:secret\n');
});
afterAll(() => removeScratchFolder(folder));

const tls = path.join(import.meta.dirname, '../../support/tls');
const certificate = `${tls}/test-only-certificate.pem`;
const key = `${tls}/test-only-key.pem`;

async function check(text: string, flags: ServeFlags = {}): Promise<readonly ConfigProblem[]> {
  return (await examineConfig(flags, { path: path.join(folder, 'config.yaml'), text }, { NAME: 'team' })).problems;
}

/** The problems as `line:column path`. */
async function placesOf(text: string, flags?: ServeFlags): Promise<string[]> {
  return (await check(text, flags)).map(({ line, column, path }) => `${line}:${column} ${path}`);
}

describe('the position of an option', () => {
  const text = [
    '# a comment',
    'hosts:',
    '  hub: one',
    '  hub.example.com: two',
    'repositories:',
    '  - name: a',
    '    type: local',
    '  - { name: b, type: virtual, members: [a, &m { name: c }] }',
    '  - name: d',
    '    members: [*m]',
    'flow: {"x": [1,',
    '  2]}',
  ].join('\n');
  const locate = createLocator(text);

  it.each([
    ['hosts', 2, 1],
    ['hosts.hub', 3, 3],
    ['hosts.hub.example.com', 4, 3],
    ['repositories[0]', 6, 5],
    ['repositories[0].type', 7, 5],
    ['repositories[1].members[0]', 8, 41],
    ['repositories[1].members[1].name', 8, 49],
    ['repositories[2].members[0].name', 8, 49],
    ['flow.x[1]', 12, 3],
    ['line 3, column 7', 3, 7],
    ['repositories[0].url', 6, 5],
    ['repositories[9].url', 5, 1],
  ])('%s is at %i:%i', (option, line, column) => {
    expect(locate(option)).toEqual({ line, column });
  });

  it.each(['', '--tls-key', 'access', 'host'])('of %j is unknown', (option) => {
    expect(locate(option)).toBeUndefined();
  });
});

describe('check-config', () => {
  it('reports a bucket without credentials in the configuration or the environment', async () => {
    const text = `access: open\nstorage:\n  metadata: { level: ${folder}/data }\n  blobs: { s3: { bucket: registry } }\n`;
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'key');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
    try {
      expect(await check(text)).toEqual([]);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
      expect(await check(text)).toEqual([
        {
          line: 4,
          column: 12,
          path: 'storage.blobs.s3.credentials',
          problem: expect.stringMatching(/^no credentials for the bucket: set .*, or AWS_ACCESS_KEY_ID and AWS_SECRET/),
        },
      ]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('reports every problem of the options, of variables and of files with its position', async () => {
    const text = [
      'acces: open',
      'access:',
      '  htpasswd: users',
      '  rules:',
      '    - { users: [ana], allow: [fly] }',
      'storage: a-file/data',
      'repositories:',
      '  - name: ${ABSENT}',
      '    type: remote',
      '    url: ftp://x',
      '    ca: /etc/ca.pem',
      '  - { name: v, type: virtual }',
      'limits: { maxBlobBytes: 10Gb }',
      'server:',
      '  tls: { cert: none.pem, key: none.key }',
    ].join('\n');
    expect(await placesOf(text)).toEqual([
      '1:1 acces',
      '3:3 access.htpasswd',
      '5:31 access.rules[0].allow[0]',
      '6:1 storage',
      '8:5 repositories[0].name',
      '10:5 repositories[0].url',
      '11:5 repositories[0].ca',
      '12:5 repositories[1].members',
      '13:11 limits.maxBlobBytes',
      '15:10 server.tls.cert',
      '15:26 server.tls.key',
    ]);
  });

  it.each([
    ['a syntax error', 'a: 1\nb: [1, 2\n', '3:1 '],
    ['a repeated option', 'access: open\naccess: open\n', '2:1 '],
    [
      'a member that does not exist',
      'repositories:\n  - { name: v, type: virtual, members: [x] }\n',
      '2:41 repositories[0].members[0]',
    ],
    ['a host that does not exist', 'access: open\nserver: { host: nowhere.invalid }', '2:11 server.host'],
    ['a data folder of another release', 'storage: newer', '1:1 storage'],
    ['a data folder that is a file', 'storage: a-file', '1:1 storage'],
    ['a certificate that is not PEM', `server: { tls: { cert: a-file, key: ${key} } }`, '1:11 server.tls'],
    ['an address that others can reach, without access', 'server: { host: 0.0.0.0 }', 'undefined:undefined access'],
    ['a trusted proxy without access', 'trustedProxies: [10.0.0.1]', 'undefined:undefined access'],
  ])('reports %s', async (_what, text, expected) => {
    expect(await placesOf(text)).toEqual([expected]);
  });

  it.each([
    ['an empty file', '', {}],
    ['variables', 'repositories: [{ name: "${NAME}", type: local }]', {}],
    ['a certificate', `server: { tls: { cert: ${certificate}, key: ${key} } }`, {}],
    ['a host that a flag guards', 'server: { host: 0.0.0.0 }', { open: true }],
    ['a data folder that a flag replaces', 'storage: a-file', { data: '/tmp' }],
  ])('accepts %s and writes nothing', async (_what, text, flags) => {
    const before = await readdir(folder, { recursive: true });
    expect(await check(text, flags)).toEqual([]);
    expect(await readdir(folder, { recursive: true })).toEqual(before);
  });
});

describe('artifactapi check-config', () => {
  const run = async (...args: readonly string[]): Promise<Ended> =>
    new Command(bundledCommand, ['check-config', ...args], { cwd: folder }).ended();

  it('exits with 0 for a file without problems', async () => {
    await writeFile(path.join(folder, 'good.yaml'), 'access: read-only\n');
    const good = { code: 0, stdout: 'good.yaml: no problems\n', stderr: '' };
    expect(await run('good.yaml')).toEqual(good);
    // With the same flags as `serve`.
    expect(await run('--config', 'good.yaml')).toEqual(good);
    expect(JSON.parse((await run('good.yaml', '--json')).stdout)).toEqual({
      file: 'good.yaml',
      ok: true,
      problems: [],
    });
  });

  it('prints one line per problem and exits with 1', async () => {
    await writeFile(path.join(folder, 'bad.json'), '{\n  "acces": "open",\n  "server": { "port": 70000 }\n}\n');
    const { code, stdout, stderr } = await run('bad.json');
    expect([code, stderr]).toEqual([1, '']);
    expect(stdout).toBe(
      'bad.json:2:3: acces: unknown option "acces": did you mean "access"?\n' +
        'bad.json:3:15: server.port: must be at most 65535\n',
    );
    const [problem] = (JSON.parse((await run('bad.json', '--json')).stdout) as { problems: unknown[] }).problems;
    expect(problem).toEqual({
      line: 2,
      column: 3,
      path: 'acces',
      problem: 'unknown option "acces": did you mean "access"?',
    });
  });

  it.each([
    ['a file that does not exist', ['none.yaml'], '', /^artifactapi: cannot read the config file: ENOENT.*none\.yaml/],
    ['a folder', ['newer'], '', /^artifactapi: cannot read the config file: EISDIR/],
    ['no file', [], '', /^artifactapi: name one config file, as an argument or with --config/],
    ['two files', ['good.yaml', '--config', 'bad.json'], '', /^artifactapi: name one config file/],
    ['an unknown flag', ['good.yaml', '--jsn'], '', /^artifactapi: unknown option "--jsn"/],
  ])('exits with 2 for %s', async (_what, args, stdout, expected) => {
    const ended = await run(...args);
    expect([ended.code, ended.stdout]).toEqual([2, stdout]);
    expect(ended.stderr).toMatch(expected);
  });

  it('prints a document for an unreadable file too', async () => {
    const { code, stdout } = await run('none.yaml', '--json');
    expect(code).toBe(2);
    const problem = expect.stringMatching(/^cannot read the config file: ENOENT/) as unknown;
    expect(JSON.parse(stdout)).toEqual({ file: 'none.yaml', ok: false, problems: [{ path: '', problem }] });
  });
});
