import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfigFile } from '../../src/command/config-file.js';
import { describeStorage, folderOf } from '../../src/command/serve/storage-settings.js';
import { resolveServeSettings, SettingsError, type ServeFlags } from '../../src/command/serve/serve-settings.js';

const environment = {
  PORT: '5001',
  NAME: 'team',
  EMPTY: '',
  SWITCH: 'false',
  DIGITS: '0123',
  TRICK: '1}\nevil: ${NAME}',
};

describe('variables in a config file', () => {
  it.each([
    ['a plain variable', 'a: ${NAME}', 'team'],
    ['variables inside text', 'a: x-${NAME}-${PORT}', 'x-team-5001'],
    ['a plain variable with the form of a number', 'a: ${PORT}', 5001],
    ['a plain variable with the form of a boolean', 'a: ${SWITCH}', false],
    ['a quoted variable with the form of a number', 'a: "${PORT}"', '5001'],
    ['a plain variable with a leading zero', 'a: ${DIGITS}', '0123'],
    ['an unused default', 'a: ${NAME:-other}', 'team'],
    ['a default for an unset variable', 'a: ${ABSENT:-other}', 'other'],
    ['a default for an empty variable', 'a: ${EMPTY:-other}', 'other'],
    ['an empty default', "a: '${ABSENT:-}'", ''],
    ['an empty variable', 'a: ${EMPTY}', ''],
    ['an escaped $', 'a: $${NAME}', '${NAME}'],
    ['a lone $', 'a: 5$ and $NAME', '5$ and $NAME'],
    ['YAML syntax in the value of a variable', 'a: ${TRICK}', '1}\nevil: ${NAME}'],
    ['a variable in a comment', 'a: 1 # ${ABSENT}', 1],
    ['a variable in JSON', '{"a": "${NAME}"}', 'team'],
  ])('are replaced: %s', (_what, text, expected) => {
    expect(parseConfigFile(text, environment)).toEqual({ settings: { a: expected }, problems: [] });
  });

  it('are all reported with their paths if they are unset or malformed', () => {
    const text = 'a: ${ONE}${TWO}\nlist:\n  - b: ${NAME}\n  - b: ${THREE}\nc: ${not a name}\nd: ${open\n';
    expect(parseConfigFile(text, environment).problems.map(({ path, problem }) => `${path}: ${problem}`)).toEqual([
      'a: environment variable "ONE" is not set',
      'a: environment variable "TWO" is not set',
      'list[1].b: environment variable "THREE" is not set',
      'c: invalid variable "${not a name}": write ${NAME}, ${NAME:-default}, or $$ for a literal $',
      'd: invalid variable "${": write ${NAME}, ${NAME:-default}, or $$ for a literal $',
    ]);
  });
});

describe('the syntax of a config file', () => {
  it.each([
    ['an empty file', ''],
    ['a comment', '# nothing\n'],
    ['an empty mapping', '{}'],
  ])('allows %s', (_what, text) => {
    expect(parseConfigFile(text, {})).toEqual({ settings: {}, problems: [] });
  });

  it.each([
    ['a list', '- a', ''],
    ['text', 'hello', ''],
    ['broken YAML', 'a: 1\nb: [1, 2\n', 'line 3, column 1'],
    ['a repeated key', 'a: 1\na: 2\n', 'line 2, column 1'],
  ])('excludes %s, which is reported with its position', (_what, text, place) => {
    const { settings, problems } = parseConfigFile(text, {});
    expect(settings).toEqual({});
    expect(problems.map(({ path }) => path)).toEqual([place]);
  });
});

describe('resolveServeSettings', () => {
  const settingsOf = (text: string, flags: ServeFlags = {}): ReturnType<typeof resolveServeSettings> =>
    resolveServeSettings(flags, { path: '/etc/artifactapi/config.yaml', text }, environment);

  it('defaults to one local repository on loopback', () => {
    expect(resolveServeSettings({}, undefined, {})).toEqual({
      host: '127.0.0.1',
      port: 5000,
      hasPort: true,
      logLevel: 'info',
      stopSeconds: 30,
      ui: true,
      idleTimeoutSeconds: 120,
      storage: path.resolve('data'),
      registry: { repositories: [{ name: 'local', type: 'local' }] },
    });
  });

  const file = `
access: read-only
storage: /srv/registry
repositories: [{ name: internal, type: local }]
garbageCollection: { graceSeconds: 60 }
server:
  host: 0.0.0.0
  port: \${PORT}
  tls: { cert: tls/cert.pem, key: /etc/ssl/key.pem }
  logLevel: warn
  stopSeconds: 5
`;

  it('reads the options of createRegistry and the server section from the file', () => {
    expect(settingsOf(file)).toEqual({
      host: '0.0.0.0',
      port: 5001,
      hasPort: true,
      logLevel: 'warn',
      stopSeconds: 5,
      ui: true,
      idleTimeoutSeconds: 120,
      tls: { cert: '/etc/artifactapi/tls/cert.pem', key: '/etc/ssl/key.pem' },
      storage: '/srv/registry',
      access: 'read-only',
      registry: { repositories: [{ name: 'internal', type: 'local' }], garbageCollection: { graceSeconds: 60 } },
    });
  });

  it('reads a bucket, with a folder of the index that is relative to the file', () => {
    const blobs = { s3: { bucket: 'registry', trashSeconds: 86_400 } };
    const settings = settingsOf(
      'storage: { metadata: { level: ./index }, blobs: { s3: { bucket: registry, trashSeconds: 1d } } }',
    );
    expect(settings.storage).toEqual({ metadata: { level: '/etc/artifactapi/index' }, blobs });
    expect(() =>
      settingsOf('storage: { metadata: { level: ./index }, blobs: { s3: { bucket: registry, prefx: a/ } } }'),
    ).toThrow('storage.blobs.s3.prefx: unknown option "prefx": did you mean "prefix"?');
  });

  it('reads an index in PostgreSQL, which has no folder', () => {
    const text = `storage:
  metadata: { postgres: { url: 'postgres://registry:secret@db.example.com/registry' } }
  blobs: { s3: { bucket: registry, spool: spool } }`;
    const { storage } = settingsOf(text);
    expect(storage).toEqual({
      metadata: { postgres: { url: 'postgres://registry:secret@db.example.com/registry' } },
      blobs: { s3: { bucket: 'registry', spool: '/etc/artifactapi/spool' } },
    });
    expect([folderOf(storage), describeStorage(storage)]).toEqual([
      undefined,
      'PostgreSQL at db.example.com/registry, blobs in the bucket registry',
    ]);
    expect(() => settingsOf(text, { data: 'd' })).toThrow(
      'storage.metadata.postgres: cannot be combined with --data: the index has no folder',
    );
  });

  it('lets every flag override the file', () => {
    const flags = {
      host: '::1',
      port: 0,
      data: 'd',
      open: true,
      tlsCert: 'c',
      tlsKey: 'k',
      logLevel: 'error',
    } as const;
    expect(settingsOf(file, flags)).toMatchObject({
      host: '::1',
      port: 0,
      storage: path.resolve('d'),
      access: 'open',
      tls: { cert: path.resolve('c'), key: path.resolve('k') },
      logLevel: 'error',
      stopSeconds: 5,
    });
  });

  it.each([
    ['storage: ./data', '/etc/artifactapi/data'],
    ['', '/etc/artifactapi/data'],
  ])('resolves the data folder relative to the file: %j', (text, expected) => {
    expect(settingsOf(text).storage).toBe(expected);
  });

  it('keeps an empty list of repositories', () => {
    expect(settingsOf('repositories: []').registry.repositories).toEqual([]);
  });

  it.each([
    ['servr: {}', 'servr: unknown option "servr": did you mean "server"?'],
    ['acces: open', 'acces: unknown option "acces": did you mean "access"?'],
    ['server: { hots: x }', 'server.hots: unknown option "hots": did you mean "host"?'],
    [
      'limits: { maxBlobBytes: 10Gb }',
      'limits.maxBlobBytes: "10Gb" must be a number of bytes, or a number with a unit',
    ],
  ])('rejects %s with a suggestion', (text, problem) => {
    expect(() => settingsOf(text)).toThrow(problem);
  });

  it('reports all problems together, each once with its path', () => {
    const text = `
access: everyone
storage: { blobs: 1 }
logger: pino
hooks: { timeoutSeconds: 5 }
repositories:
  - { name: BAD, type: local }
  - { name: '\${ABSENT}', type: local }
  - { name: fine, type: other }
server: { port: 70000, hots: x, tls: { cert: a } }
retention: 5
`;
    let problems: readonly { path: string }[] = [];
    try {
      settingsOf(text, { tlsKey: 'k' });
    } catch (error) {
      expect(error).toBeInstanceOf(SettingsError);
      if (error instanceof SettingsError) problems = error.problems;
    }
    expect(problems.map(({ path }) => path).sort()).toEqual([
      '--tls-key',
      'access',
      'hooks',
      'logger',
      'repositories[0].name',
      'repositories[1].name',
      'repositories[2].type',
      'retention',
      'server.hots',
      'server.port',
      'server.tls.key',
      'storage.blobs',
      'storage.metadata',
    ]);
  });
});
