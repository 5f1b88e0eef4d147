import { describe, expect, it } from 'vitest';
import { OptionsError, resolveOptions } from '../../src/options/resolve-options.js';
import type { RegistryOptions } from '../../src/options/generated/registry-options.js';
import type { Problem } from '../../src/protocol/settings/option-schema.js';
import { plainLogger } from '../../src/util/plain-log.js';

function problemsOf(options: unknown): readonly Problem[] {
  try {
    resolveOptions(options as RegistryOptions);
  } catch (error) {
    if (error instanceof OptionsError) return error.problems;
    throw error;
  }
  return [];
}

function pathsOf(options: unknown): string[] {
  return problemsOf(options)
    .map(({ path }) => path)
    .sort();
}

describe('resolveOptions', () => {
  it('requires a storage, and has a default for every other option', () => {
    const { logger, ...resolved } = resolveOptions({ storage: './data' });
    expect(resolved).toEqual({
      storage: './data',
      access: 'read-only',
      repositories: [],
      hosts: {},
      namespaces: {},
      prefix: '',
      trustedProxies: [],
      quotas: [],
      limits: { minBytesPerSecond: 1024, minDownloadBytesPerSecond: 1024, maxConnectionsPerClient: 1000 },
      garbageCollection: {
        graceSeconds: 86_400,
        intervalSeconds: 3600,
        uploadExpirySeconds: 604_800,
        orphanRetentionSeconds: 2_592_000,
      },
      backups: {},
      imports: { folders: [] },
      reserveBytes: 67_108_864,
      acceptEmptyIndex: false,
      metrics: false,
      maxManifestCacheBytes: 67_108_864,
      sync: [],
      webhooks: [],
    });
    expect(logger).toEqual(plainLogger);
  });

  it('keeps given values, and fills in the defaults of the rest of a group', () => {
    const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    const resolved = resolveOptions({
      storage: '/data',
      access: 'open',
      prefix: '/a/b-c.d_e~f',
      repositories: [{ name: 'a', type: 'local', sparse: false }],
      garbageCollection: { graceSeconds: 0 },
      acceptEmptyIndex: true,
      maxManifestCacheBytes: 0,
      logger,
    });
    expect(resolved).toMatchObject({
      access: 'open',
      prefix: '/a/b-c.d_e~f',
      repositories: [{ name: 'a', type: 'local', sparse: false, description: '' }],
      garbageCollection: {
        graceSeconds: 0,
        intervalSeconds: 3600,
        uploadExpirySeconds: 604_800,
        orphanRetentionSeconds: 2_592_000,
      },
      acceptEmptyIndex: true,
      maxManifestCacheBytes: 0,
    });
    expect(resolved.logger).toBe(logger);
  });

  it.each([
    ['without a proxy that is trusted', { sendfile: 'x-accel' }, "needs the proxy's address in trustedProxies"],
    ['x-accel without a folder', { sendfile: 'x-accel', storage: {}, trustedProxies: ['::1'] }, 'needs a data folder'],
  ])('refuses sendfile where it would do nothing: %s', (_title, options, problem) => {
    const storage = 'storage' in options ? { blobs: {}, metadata: {} } : './data';
    expect(problemsOf({ ...options, storage })).toEqual([{ path: 'sendfile', problem }]);
    expect(pathsOf({ ...options, storage, sendfile: 'yes' })).toEqual(['sendfile']);
  });

  it.each([
    ['the data folder', { folder: './data' }, 'must be outside of the data folder'],
    ['a folder in it', { folder: './data/backups' }, 'must be outside of the data folder'],
    ['no name', { folder: '' }, 'must be the path of a folder'],
  ])('refuses a folder for backups that could not hold any: %s', (_title, { folder }, problem) => {
    expect(problemsOf({ storage: './data', backups: { folder } })).toEqual([{ path: 'backups.folder', problem }]);
    expect(problemsOf({ storage: './data', backups: { folder: './data-backups' } })).toEqual([]);
  });

  it('takes a folder for backups with an index in a folder and blobs in a bucket, but not with PostgreSQL', () => {
    const backupsOf = (metadata: object, folder: string) =>
      problemsOf({ storage: { metadata, blobs: { s3: { bucket: 'registry' } } }, backups: { folder } });
    expect(backupsOf({ level: './data' }, './backups')).toEqual([]);
    const inside = { path: 'backups.folder', problem: 'must be outside of the data folder' };
    expect(backupsOf({ level: './data' }, './data/backups')).toEqual([inside]);
    const problem = 'cannot be used with an index in PostgreSQL: back up the database';
    const postgres = { url: 'postgres://localhost/registry' };
    expect(backupsOf({ postgres }, './backups')).toEqual([{ path: 'backups.folder', problem }]);
  });

  it.each(['./data', './data/old', '.'])(
    'refuses the folder %s for imports, which overlaps with the data folder',
    (one) => {
      const problem = 'must not contain the data folder, or be inside it';
      expect(problemsOf({ storage: './data', imports: { folders: ['./old', one] } })).toEqual([
        { path: 'imports.folders[1]', problem },
      ]);
      expect(problemsOf({ storage: './data', imports: { folders: ['./data-old'] } })).toEqual([]);
    },
  );

  it('does not change its argument', () => {
    const options = Object.freeze({
      storage: 'x',
      repositories: Object.freeze([Object.freeze({ name: 'a', type: 'local' as const })]),
      garbageCollection: Object.freeze({}),
    });
    expect(resolveOptions(options).repositories).toHaveLength(1);
    expect(options).toEqual({ storage: 'x', repositories: [{ name: 'a', type: 'local' }], garbageCollection: {} });
  });

  it('accepts a logger whose functions are inherited, such as that of a class', () => {
    class Log {
      debug(): void {}
      info(): void {}
      warn(): void {}
      error(): void {}
    }
    const logger = new Log();
    expect(resolveOptions({ storage: 'x', logger }).logger).toBe(logger);
  });

  const bucket = { s3: { bucket: 'registry' } };
  it('fills in the defaults of a bucket', () => {
    expect(resolveOptions({ storage: { metadata: { level: 'x' }, blobs: bucket } }).storage).toEqual({
      metadata: { level: 'x' },
      blobs: {
        s3: {
          bucket: 'registry',
          region: 'us-east-1',
          prefix: '',
          trashSeconds: 3600,
          redirect: false,
          maxUploadBufferBytes: 268_435_456,
        },
      },
    });
  });

  const url = 'postgres://registry:secret@db.example.com/registry';
  it('fills in the defaults of an index in PostgreSQL', () => {
    expect(resolveOptions({ storage: { metadata: { postgres: { url } }, blobs: bucket } }).storage).toMatchObject({
      metadata: { postgres: { url, max: 16, maxStaleSeconds: 30, prepare: true, migrate: true } },
    });
  });

  it('does not repeat the password of a bad URL of PostgreSQL', () => {
    const bad = 'postgres://registry:secret@db.example.com:port/registry';
    expect(() => resolveOptions({ storage: { metadata: { postgres: { url: bad } }, blobs: bucket } })).toThrow(
      /^(?!.*secret).*storage\.metadata\.postgres\.url/s,
    );
  });

  it.each<[string, unknown, string[]]>([
    ['no storage', {}, ['storage']],
    ['an empty storage', { storage: '' }, ['storage']],
    ['an incomplete storage', { storage: { blobs: {} } }, ['storage.blobs.s3', 'storage.metadata']],
    [
      'blobs in a folder of their own',
      { storage: { metadata: { level: 'x' }, blobs: { folder: 'y' } } },
      ['storage.blobs.folder', 'storage.blobs.s3'],
    ],
    [
      'an unknown index',
      { storage: { metadata: { sqlite: 'x' }, blobs: bucket } },
      ['storage.metadata.level', 'storage.metadata.sqlite'],
    ],
    ['no bucket', { storage: { metadata: { level: 'x' }, blobs: { s3: {} } } }, ['storage.blobs.s3.bucket']],
    ...Object.entries({
      bucket: 'Registry',
      region: 'eu west',
      endpoint: 'https://s3.example.com/path',
      pathStyle: 'yes',
      prefix: 'no-slash',
      credentials: { accessKeyId: 'x', secretAccessKey: '' },
      encryption: 'rot13',
      kmsKeyId: 'without encryption',
      trashSeconds: -1,
      redirect: 'always',
      redirectRepositories: ['local'],
      redirectNetworks: ['10.0.0.0/8'],
      publicEndpoint: 'https://cdn.example.com',
      maxUploadBufferBytes: 0,
      spool: '',
    }).map(([option, value]): [string, unknown, string[]] => [
      `a bucket with a bad ${option}`,
      { storage: { metadata: { level: 'x' }, blobs: { s3: { ...bucket.s3, [option]: value } } } },
      [option === 'credentials' ? 'storage.blobs.s3.credentials.secretAccessKey' : `storage.blobs.s3.${option}`],
    ]),
    ...Object.entries({
      url: 'mysql://db.example.com/registry',
      listenUrl: 'db.example.com',
      max: 0,
      prepare: 'no',
      migrate: 1,
      pool: 5,
    }).map(([option, value]): [string, unknown, string[]] => [
      `an index in PostgreSQL with a bad ${option}`,
      { storage: { metadata: { postgres: { url, [option]: value } }, blobs: bucket } },
      [`storage.metadata.postgres.${option}`],
    ]),
    [
      'an index in PostgreSQL without a URL, and blobs in a folder',
      { storage: { metadata: { postgres: {} }, blobs: { folder: 'y' } } },
      ['storage.blobs.folder', 'storage.blobs.s3', 'storage.metadata.postgres.url'],
    ],
    [
      'two indexes',
      { storage: { metadata: { postgres: { url }, level: 'x' }, blobs: bucket } },
      ['storage.metadata.level'],
    ],
    [
      'an index in PostgreSQL that may be empty',
      { storage: { metadata: { postgres: { url } }, blobs: bucket }, acceptEmptyIndex: true },
      ['acceptEmptyIndex'],
    ],
    ...Object.entries({
      trashSeconds: 899,
      redirectRepositories: ['Local'],
      redirectNetworks: ['10.0.0'],
      publicEndpoint: 'cdn.example.com',
    }).map(([option, value]): [string, unknown, string[]] => [
      `a bucket with redirects and a bad ${option}`,
      { storage: { metadata: { level: 'x' }, blobs: { s3: { ...bucket.s3, redirect: true, [option]: value } } } },
      [`storage.blobs.s3.${option}${Array.isArray(value) ? '[0]' : ''}`],
    ]),
    ...[
      ['https://example.com', 'https://s3.example.com'],
      ['https://Example.com:8443', 'http://example.com:9000'],
    ].map(([publicUrl, endpoint]): [string, unknown, string[]] => [
      `redirects from ${publicUrl} to ${endpoint}`,
      { publicUrl, storage: { metadata: { level: 'x' }, blobs: { s3: { ...bucket.s3, redirect: true, endpoint } } } },
      ['storage.blobs.s3.redirect'],
    ]),
    [
      'a bucket with x-accel',
      { storage: { metadata: { level: 'x' }, blobs: bucket }, sendfile: 'x-accel', trustedProxies: ['::1'] },
      ['sendfile'],
    ],
    ['an unknown access', { storage: 'x', access: 'write' }, ['access']],
    ['a misspelled option', { storage: 'x', acces: 'open' }, ['acces']],
    ['a prefix without a slash', { storage: 'x', prefix: 'a' }, ['prefix']],
    ['a prefix with a slash at its end', { storage: 'x', prefix: '/a/' }, ['prefix']],
    ['a prefix with a query', { storage: 'x', prefix: '/a?b' }, ['prefix']],
    ['a prefix that needs encoding', { storage: 'x', prefix: '/ä;' }, ['prefix']],
    ['a prefix of one slash', { storage: 'x', prefix: '/' }, ['prefix']],
    ['repositories that are not a list', { storage: 'x', repositories: {} }, ['repositories']],
    ['a bad repository', { storage: 'x', repositories: [{ name: 'A', type: 'local' }] }, ['repositories[0].name']],
    [
      'a repository of no known type',
      { storage: 'x', repositories: [{ name: 'a', type: 'x' }] },
      ['repositories[0].type'],
    ],
    [
      'an option that no repository has',
      { storage: 'x', repositories: [{ name: 'a', type: 'local', x: 1 }] },
      ['repositories[0].x'],
    ],
    ['snake case', { storage: 'x', repositories: [{ name: 'a', repo_type: 'local' }] }, ['repositories[0].type']],
    [
      'the same name twice',
      {
        storage: 'x',
        repositories: [
          { name: 'a', type: 'local' },
          { name: 'b', type: 'local' },
          { name: 'a', type: 'local' },
        ],
      },
      ['repositories[2].name'],
    ],
    ['negative seconds', { storage: 'x', garbageCollection: { graceSeconds: -1 } }, ['garbageCollection.graceSeconds']],
    [
      'seconds as text',
      { storage: 'x', garbageCollection: { intervalSeconds: '1' } },
      ['garbageCollection.intervalSeconds'],
    ],
    [
      'an interval that a timer cannot count',
      { storage: 'x', garbageCollection: { intervalSeconds: 3e6 } },
      ['garbageCollection.intervalSeconds'],
    ],
    ['NaN as a number', { storage: 'x', maxManifestCacheBytes: Number.NaN }, ['maxManifestCacheBytes']],
    ['a fraction of a byte', { storage: 'x', maxManifestCacheBytes: 0.5 }, ['maxManifestCacheBytes']],
    ['an incomplete logger', { storage: 'x', logger: { info: () => {} } }, ['logger']],
    ['no logger', { storage: 'x', logger: null }, ['logger']],
    ['a hook that is not a function', { storage: 'x', hooks: { beforePull: true } }, ['hooks.beforePull']],
    ['a misspelled hook', { storage: 'x', hooks: { beforePul: () => {} } }, ['hooks.beforePul']],
    ['hooks without any time', { storage: 'x', hooks: { timeoutSeconds: 0 } }, ['hooks.timeoutSeconds']],
    ['undefined as the options', undefined, ['']],
    [
      'everything',
      {
        storage: 1,
        access: 1,
        prefix: 1,
        garbageCollection: { graceSeconds: 'x', y: 1 },
        repositories: [{ name: 'A', type: 'local' }],
        z: 1,
      },
      [
        'access',
        'garbageCollection.graceSeconds',
        'garbageCollection.y',
        'prefix',
        'repositories[0].name',
        'storage',
        'z',
      ],
    ],
  ])('refuses %s', (_title, options, paths) => {
    expect(pathsOf(options)).toEqual(paths);
  });

  it.each([
    ['no path', {}, 'audit.file', 'is required'],
    ['an unknown event', { file: 'a', events: ['change', 'push'] }, 'audit.events[1]', /must be one of change, login/],
    ['no events', { file: 'a', events: [] }, 'audit.events', 'must name at least one event'],
    ['a keepDays of 0', { file: 'a', keepDays: 0 }, 'audit.keepDays', 'must be at least 1'],
    ['a tiny file', { file: 'a', maxBytes: 10 }, 'audit.maxBytes', 'must be at least 4096'],
  ])('refuses an audit file with %s', (_title, audit, path, problem) => {
    expect(problemsOf({ storage: '/x', audit })).toEqual([{ path, problem: expect.stringMatching(problem) as string }]);
  });

  it.each<[string, object, string, string | RegExp]>([
    ['of an unknown repository', { from: 'none' }, 'from', 'unknown repository "none"'],
    ['of a repository without an upstream', { from: 'local' }, 'from', '"local" is not a remote repository'],
    ['to an unknown repository', { to: 'none' }, 'to', 'unknown repository "none"'],
    ['to a repository that is not local', { to: 'all' }, 'to', '"all" is not a local repository'],
    ['with tags and a range', { tags: ['*'], semver: '>=1' }, 'semver', 'must not be set together with tags'],
    ['with an invalid range', { semver: 'latest and greatest' }, 'semver', /^must be a range of versions/],
    ['without images', { images: [] }, 'images', 'must have at least one pattern'],
    ['with a platform without a system', { platforms: ['amd64'] }, 'platforms[0]', /^must be os\/architecture/],
    [
      'with platforms to a complete repository',
      { to: 'full', platforms: ['linux/amd64'] },
      'platforms',
      /^need sparse/,
    ],
    ['that runs all the time', { everySeconds: 1 }, 'everySeconds', 'must be 0, or at least 60'],
    ['with the name of another sync', { name: 'other' }, 'name', 'is already the name of sync[0]'],
    ['with an invalid name', { name: 'A/b' }, 'name', /^must be one component/],
  ])('refuses a sync %s', (_title, settings, path, problem) => {
    const repositories = [
      { name: 'local', type: 'local' },
      { name: 'full', type: 'local', sparse: false },
      { name: 'hub', type: 'remote', url: 'https://up.example' },
      { name: 'all', type: 'virtual', members: ['hub'] },
    ];
    const sync = { name: 's', from: 'hub', to: 'local', images: ['app'] };
    const options = {
      storage: '/x',
      repositories,
      sync: [
        { ...sync, name: 'other' },
        { ...sync, ...settings },
      ],
    };
    expect(problemsOf(options)).toEqual([
      {
        path: `sync[1].${path}`,
        problem: typeof problem === 'string' ? problem : (expect.stringMatching(problem) as string),
      },
    ]);
    expect(problemsOf({ ...options, sync: [sync] })).toEqual([]);
  });

  it('lists all problems in its message', () => {
    const attempt = (): unknown => resolveOptions({ storage: '', prefix: 'x' });
    expect(attempt).toThrow(OptionsError);
    expect(attempt).toThrow(/storage: .+\n.*prefix: must /);
  });

  // design 10: every problem at once.
  it('names a taken name beside another problem in the list', () => {
    const repositories = [
      { name: 'a', type: 'local' },
      { name: 'a', type: 'local' },
      { name: 'B', type: 'local' },
    ];
    expect(pathsOf({ storage: 'x', repositories })).toEqual(['repositories[1].name', 'repositories[2].name']);
  });

  it('names the other problems beside a bad type', () => {
    expect(pathsOf({ storage: 'x', repositories: [{ name: 'A', type: 'x' }] })).toEqual([
      'repositories[0].name',
      'repositories[0].type',
    ]);
  });
});

describe('quotas', () => {
  const quotasOf = (...quotas: unknown[]) => pathsOf({ storage: './data', quotas });

  it('may share patterns, but not have the same names', () => {
    expect(quotasOf({ names: 'a', maxBytes: 0 }, { names: ['a', 'b'], maxBytes: 1 })).toEqual([]);
    expect(quotasOf({ names: 'a', maxBytes: 1 }, { names: ['a/**', 'a'], maxBytes: 2 })).toEqual(['quotas[1].names']);
  });

  it.each([
    [{ maxBytes: 1 }, 'quotas[0].names'],
    [{ names: [], maxBytes: 1 }, 'quotas[0].names'],
    [{ names: 'A', maxBytes: 1 }, 'quotas[0].names'],
    [{ names: 'a' }, 'quotas[0].maxBytes'],
    [{ names: 'a', maxBytes: -1 }, 'quotas[0].maxBytes'],
    [{ names: 'a', maxBytes: 1.5 }, 'quotas[0].maxBytes'],
    [{ names: 'a', maxBytes: 1, most: 1 }, 'quotas[0].most'],
  ])('%j is refused with its path', (quota, path) => {
    expect(quotasOf(quota)).toEqual([path]);
  });

  it('maxBytes of a repository must not be negative', () => {
    const repositories = [{ name: 'a', type: 'local', maxBytes: -1 }];
    expect(pathsOf({ storage: './data', repositories })).toEqual(['repositories[0].maxBytes']);
  });
});
