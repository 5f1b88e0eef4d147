import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { withAbsolutePaths } from '../../src/options/absolute-paths.js';
import { resolveOptions } from '../../src/options/resolve-options.js';
import type { RegistryOptions } from '../../src/index.js';

const folder = resolve('/srv/app');
const place = (options: RegistryOptions) => withAbsolutePaths(resolveOptions(options), folder);

it('relative paths of all options become paths in the given folder', () => {
  const placed = place({
    storage: './data',
    access: { htpasswd: './users', rules: [] },
    audit: { file: 'log/audit.jsonl' },
    backups: { folder: '../backups' },
    imports: { folders: ['old', resolve('/old')] },
  });
  expect(placed).toMatchObject({
    storage: resolve('/srv/app/data'),
    access: { htpasswd: resolve('/srv/app/users') },
    audit: { file: resolve('/srv/app/log/audit.jsonl') },
    backups: { folder: resolve('/srv/backups') },
    imports: { folders: [resolve('/srv/app/old'), resolve('/old')] },
  });
});

it('relative paths of an index and a spool beside a bucket become paths in the given folder', () => {
  const { storage } = place({
    storage: { metadata: { level: 'index' }, blobs: { s3: { bucket: 'images', spool: 'spool' } } },
  });
  expect(storage).toMatchObject({
    metadata: { level: resolve('/srv/app/index') },
    blobs: { s3: { spool: resolve('/srv/app/spool') } },
  });
});

it('an index in PostgreSQL and absolute paths stay as they are', () => {
  const url = 'postgres://user@127.0.0.1/registry';
  const storage = { metadata: { postgres: { url } }, blobs: { s3: { bucket: 'images' } } };
  const resolved = resolveOptions({ storage });
  expect(withAbsolutePaths(resolved, folder)).toEqual(resolved);
  const absolute = resolveOptions({ storage: resolve('/data') });
  expect(withAbsolutePaths(absolute, folder)).toEqual(absolute);
});
