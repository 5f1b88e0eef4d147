import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessWays, freshHome, loginFlags, openAccessBed } from './support/access-bed.js';
import type { AccessBed, User } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import type { Workspace } from './support/test-bed.js';

const refused =
  /unauthorized|denied|authentication required|basic credential not found|does not allow this|\b40[13]\b/i;

describeClient('oras', ['oras'], () => {
  describe.each(accessWays)('against %s', (_way, options) => {
    const isPlain = options.tls !== true;
    let bed: AccessBed;

    beforeAll(async () => {
      bed = await openAccessBed(options);
      await writeFile(join(bed.folder, 'report.txt'), 'all is well\n');
      await oras(await home('ana'), 'push', bed.ref('public/report:1'), 'report.txt:text/plain');
    });
    afterAll(() => bed?.close());

    async function oras(from: Workspace, command: string, ...args: string[]): Promise<string> {
      return (await from.run('oras', command, ...(isPlain ? ['--plain-http'] : []), ...args)).stdout;
    }

    async function home(user?: User, password?: string): Promise<Workspace> {
      const own = await freshHome(bed);
      if (user !== undefined) await oras(own, 'login', ...loginFlags(user, password), bed.registry.host);
      return own;
    }

    async function pulled(from: Workspace, ref: string): Promise<string> {
      const folder = join(from.env['HOME'] ?? '', 'pulled');
      await oras(from, 'pull', '--output', folder, ref);
      return readFile(join(folder, 'report.txt'), 'utf8');
    }

    test('logs in, pushes, attaches and pulls', async () => {
      const ana = await home('ana');
      const ref = bed.ref('docker-internal/team/report:1');
      await oras(ana, 'push', ref, 'report.txt:text/plain');
      await oras(ana, 'attach', '--artifact-type', 'application/vnd.example.note.v1', ref, 'report.txt');
      expect(await oras(ana, 'discover', ref)).toContain('application/vnd.example.note.v1');
      expect(await pulled(ana, ref)).toBe('all is well\n');
    });

    test('cannot log in with a wrong password', async () => {
      await expect(home('ana', 'guessed')).rejects.toThrow(refused);
    });

    test('cannot push for a user outside of the team', async () => {
      await expect(oras(await home('ben'), 'push', bed.ref('public/refused:1'), 'report.txt')).rejects.toThrow(refused);
    });

    test('pulls only public artifacts without a login', async () => {
      const stranger = await home();
      expect(await pulled(stranger, bed.ref('public/report:1'))).toBe('all is well\n');
      await expect(oras(stranger, 'pull', bed.ref('docker-internal/team/report:1'))).rejects.toThrow(refused);
      await expect(oras(stranger, 'push', bed.ref('public/stranger:1'), 'report.txt')).rejects.toThrow(refused);
    });
  });
});
