import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runCommand, type RunResult } from '../support/servers/run-command.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createDatabase, type TestDatabase } from './databases.js';

let database: TestDatabase;
let folder: string;
let config: string;
beforeEach(async () => {
  database = await createDatabase();
  folder = await makeScratchFolder();
  config = path.join(folder, 'config.json');
});
afterEach(async () => {
  await removeScratchFolder(folder);
  await database.drop();
});

/** Runs `migrate` with an index at a URL. */
async function migrate(url: string): Promise<RunResult> {
  const storage = { metadata: { postgres: { url, migrate: false } }, blobs: { s3: { bucket: 'registry' } } };
  await writeFile(config, JSON.stringify({ storage }));
  return runCommand(['migrate', '--config', config]);
}

it('artifactapi migrate creates the tables once, and refuses the schema of a newer release', async () => {
  await expect(database.open({ migrate: false })).rejects.toThrow('run "artifactapi migrate"');
  expect(await migrate(database.url)).toEqual({
    code: 0,
    stdout: 'migrated the schema from version 0 to 1\n',
    stderr: '',
  });
  await (await database.open({ migrate: false })).close();
  expect(await migrate(database.url)).toMatchObject({ code: 0, stdout: 'the schema already has version 1\n' });
  await database.query('UPDATE schema_version SET version = 99');
  const refused = await migrate(database.url);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/^artifactapi: the schema of the database has version 99, .*: use a newer release\n$/);
});

it('artifactapi migrate reports why it failed, without the password', async () => {
  const away = await migrate('postgres://registry:secret@127.0.0.1:1/registry');
  expect([away.code, away.stdout]).toEqual([1, '']);
  expect(away.stderr).toMatch(/^artifactapi: the database is unavailable.*ECONNREFUSED/);
  expect(away.stderr).not.toContain('secret');
  await writeFile(config, JSON.stringify({ storage: folder }));
  const other = await runCommand(['migrate', '--config', config]);
  expect(other).toMatchObject({ code: 2, stdout: '' });
  expect(other.stderr).toContain('is not in PostgreSQL: storage.metadata.postgres is not set');
  const missing = await runCommand(['migrate', '--config', `${config}.missing`]);
  expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('cannot read the config file')]);
});
