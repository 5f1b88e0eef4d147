import { describe, expect, it } from 'vitest';
import type { BackupCheck, BackupReport, DamagedContent } from '../../../src/ports/operations/backup.js';
import { formatBackup, formatCheck, formatRestore } from '../../../src/command/backup/backup-report.js';

const counts = { repositories: 1, images: 2, tags: 1 };
const times = { startedAt: Date.UTC(2026, 6, 25), finishedAt: Date.UTC(2026, 6, 25, 1) };
// Short digests, to read them.
const damaged = [
  { digest: 'sha256:aa', problem: 'missing', uses: [{ repository: 'local', image: 'app', tag: '1' }] },
  { digest: 'sha256:bb', problem: 'size', uses: [{ repository: 'local', image: 'app', manifest: 'sha256:cc' }] },
  { digest: 'sha256:dd', problem: 'digest', uses: [{ repository: 'local', image: 'app' }] },
] as unknown as readonly DamagedContent[];

const backup = {
  ...counts,
  ...times,
  folder: '/backup',
  blobs: 1,
  bytes: 2048,
  added: 1,
  addedBytes: 1024,
  linked: true,
  removed: 0,
  removedBytes: 0,
  damaged: [],
} as unknown as BackupReport;

const check = {
  ...counts,
  folder: '/backup',
  createdAt: Date.UTC(2026, 6, 25),
  blobs: 3,
  bytes: 2048,
  damaged: [],
  damagedIndexFiles: [],
} as unknown as BackupCheck;

describe('the report of a backup', () => {
  it.each<[what: string, report: Partial<BackupReport>, lines: readonly string[]]>([
    [
      'that linked a blob',
      {},
      [
        'backup of 1 repository, 2 images and 1 tag in /backup',
        '  1 blob, 2.00 KiB',
        '  linked now: 1 blob, 1.00 KiB',
        '',
      ],
    ],
    [
      'that copied and removed blobs',
      { linked: false, added: 2, removed: 2, removedBytes: 512 },
      [
        'backup of 1 repository, 2 images and 1 tag in /backup',
        '  1 blob, 2.00 KiB',
        '  copied now: 2 blobs, 1.00 KiB',
        '  removed: 2 blobs, 512 B',
        '',
      ],
    ],
    [
      'of an index whose blobs are in a bucket',
      { inBucket: true },
      ['backup of 1 repository, 2 images and 1 tag in /backup', '  1 blob, 2.00 KiB, which stay in the bucket', ''],
    ],
    [
      'of a folder with damage',
      { damaged },
      [
        'backup of 1 repository, 2 images and 1 tag in /backup',
        '  1 blob, 2.00 KiB',
        '  linked now: 1 blob, 1.00 KiB',
        '  the data folder cannot give these blobs: 3',
        '    sha256:aa is missing',
        '      used by local/app:1',
        '    sha256:bb has the wrong size',
        '      used by local/app@sha256:cc',
        '    sha256:dd has the wrong digest',
        '      used by local/app',
        '',
      ],
    ],
  ])('%s', (_what, report, lines) => {
    expect(formatBackup({ ...backup, ...report }).split('\n')).toEqual(lines);
  });
});

describe('the report of a verification', () => {
  const name = 'backup of 1 repository, 2 images and 1 tag in /backup, taken at 2026-07-25T00:00:00.000Z';
  it.each<[what: string, report: Partial<BackupCheck>, lines: readonly string[]]>([
    ['of an intact backup', {}, [`intact: ${name}`, '  hashed: 3 blobs, 2.00 KiB', '']],
    [
      'of an intact backup whose blobs are in a bucket',
      { inBucket: true },
      [`intact: ${name}`, '  in the bucket, not checked: 3 blobs, 2.00 KiB', ''],
    ],
    [
      'of a damaged index',
      { damagedIndexFiles: ['000005.ldb'] },
      [`damaged: ${name}`, '  000005.ldb has changed or is missing: the index cannot be used', ''],
    ],
    [
      'of a damaged blob',
      { damaged: damaged.slice(0, 1) },
      [
        `damaged: ${name}`,
        '  hashed: 3 blobs, 2.00 KiB',
        '  damaged blobs: 1',
        '    sha256:aa is missing',
        '      used by local/app:1',
        '',
      ],
    ],
  ])('%s', (_what, report, lines) => {
    expect(formatCheck({ ...check, ...report }).split('\n')).toEqual(lines);
  });
});

describe('the report of a restore', () => {
  it.each<[what: string, report: Partial<BackupCheck>, lines: readonly string[]]>([
    [
      'to a data folder',
      { damaged: damaged.slice(0, 1) },
      [
        'restored 1 repository, 2 images and 1 tag to /backup, as of 2026-07-25T00:00:00.000Z',
        '  2 blobs, 2.00 KiB',
        '  not restored, because they are damaged in the backup: 1',
        '    sha256:aa is missing',
        '      used by local/app:1',
        'the backup has no configuration file and no htpasswd file',
        'start it with your configuration: artifactapi serve --config <file> --data /backup',
        '',
      ],
    ],
    [
      'of an index whose blobs are in a bucket',
      { inBucket: true },
      [
        'restored 1 repository, 2 images and 1 tag to /backup, as of 2026-07-25T00:00:00.000Z',
        '  3 blobs, 2.00 KiB in the bucket, not checked: run a scrub',
        'the backup has no configuration file and no htpasswd file',
        'start it with your configuration, and with /backup as storage.metadata.level',
        '',
      ],
    ],
  ])('%s', (_what, report, lines) => {
    expect(formatRestore({ ...check, ...report }).split('\n')).toEqual(lines);
  });
});
