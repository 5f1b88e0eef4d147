import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfigFile } from '../../src/command/config-file.js';
import { resolveServeSettings, SettingsError, type ServeFlags } from '../../src/command/serve-settings.js';

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
    ['a bare word', 'a: ${NAME}', 'team'],
    ['inside text', 'a: x-${NAME}-${PORT}', 'x-team-5001'],
    ['bare, like a number', 'a: ${PORT}', 5001],
    ['bare, like a boolean', 'a: ${SWITCH}', false],
    ['quoted, like a number', 'a: "${PORT}"', '5001'],
    ['bare, with a leading zero', 'a: ${DIGITS}', '0123'],
    ['a default that is not needed', 'a: ${NAME:-other}', 'team'],
    ['a default for an unset one', 'a: ${ABSENT:-other}', 'other'],
    ['a default for an empty one', 'a: ${EMPTY:-other}', 'other'],
    ['an empty default', "a: '${ABSENT:-}'", ''],
    ['an empty one', 'a: ${EMPTY}', ''],
    ['an escaped $', 'a: $${NAME}', '${NAME}'],
    ['a lone $', 'a: 5$ and $NAME', '5$ and $NAME'],
    ['what a variable holds is text and nothing else', 'a: ${TRICK}', '1}\nevil: ${NAME}'],
    ['in a comment', 'a: 1 # ${ABSENT}', 1],
    ['in JSON', '{"a": "${NAME}"}', 'team'],
  ])('%s', (_what, text, expected) => {
    expect(parseConfigFile(text, environment)).toEqual({ settings: { a: expected }, problems: [] });
  });

  it('tells all that are unset or misspelt, each with its path', () => {
    const text = 'a: ${ONE}${TWO}\nlist:\n  - b: ${NAME}\n  - b: ${THREE}\nc: ${not a name}\nd: ${open\n';
    expect(parseConfigFile(text, environment).problems.map(({ path, problem }) => `${path}: ${problem}`)).toEqual([
      'a: the environment variable ONE is not set',
      'a: the environment variable TWO is not set',
      'list[1].b: the environment variable THREE is not set',
      'c: ${not a name} is no variable: write ${NAME}, ${NAME:-default}, or $$ for one $',
      'd: ${ is no variable: write ${NAME}, ${NAME:-default}, or $$ for one $',
    ]);
  });
});

describe('the form of a config file', () => {
  it.each([
    ['nothing', ''],
    ['a comment', '# nothing\n'],
    ['an empty mapping', '{}'],
  ])('%s is no problem', (_what, text) => {
    expect(parseConfigFile(text, {})).toEqual({ settings: {}, problems: [] });
  });

  it.each([
    ['a list', '- a', ''],
    ['text', 'hello', ''],
    ['broken YAML', 'a: 1\nb: [1, 2\n', 'line 3, column 1'],
    ['a key twice', 'a: 1\na: 2\n', 'line 2, column 1'],
  ])('%s is one, with its place', (_what, text, place) => {
    const { settings, problems } = parseConfigFile(text, {});
    expect(settings).toEqual({});
    expect(problems.map(({ path }) => path)).toEqual([place]);
  });
});

describe('the settings of serve', () => {
  const settingsOf = (text: string, flags: ServeFlags = {}): ReturnType<typeof resolveServeSettings> =>
    resolveServeSettings(flags, { path: '/etc/artifactapi/config.yaml', text }, environment);

  it('has one local repository, on loopback, when nothing is configured', () => {
    expect(resolveServeSettings({}, undefined, {})).toEqual({
      host: '127.0.0.1',
      port: 5000,
      logLevel: 'info',
      stopSeconds: 30,
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

  it('takes the options of createRegistry, and where to listen, from the file', () => {
    expect(settingsOf(file)).toEqual({
      host: '0.0.0.0',
      port: 5001,
      logLevel: 'warn',
      stopSeconds: 5,
      idleTimeoutSeconds: 120,
      tls: { cert: '/etc/artifactapi/tls/cert.pem', key: '/etc/ssl/key.pem' },
      storage: '/srv/registry',
      access: 'read-only',
      registry: { repositories: [{ name: 'internal', type: 'local' }], garbageCollection: { graceSeconds: 60 } },
    });
  });

  it('lets every flag win over the file', () => {
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
  ])('%j: the data folder is relative to the file', (text, expected) => {
    expect(settingsOf(text).storage).toBe(expected);
  });

  it('keeps a list of repositories that is there and empty', () => {
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
  ])('refuses %s and says what was probably meant', (text, problem) => {
    expect(() => settingsOf(text)).toThrow(problem);
  });

  it('tells every problem at once, each with its path and once', () => {
    const text = `
access: everybody
storage: { blobs: 1 }
logger: pino
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
      'logger',
      'repositories[0].name',
      'repositories[1].name',
      'repositories[2].type',
      'retention',
      'server.hots',
      'server.port',
      'server.tls.key',
      'storage',
    ]);
  });
});
