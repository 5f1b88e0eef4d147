import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessWays, freshHome, loginFlags, openAccessBed } from './support/access-bed.js';
import type { AccessBed, User } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import type { Workspace } from './support/test-bed.js';

const refused =
  /unauthorized|denied|authentication required|basic credential not found|does not allow this|\b40[13]\b/i;

describeClient('helm', ['helm'], () => {
  describe.each(accessWays)('against %s', (_way, options) => {
    const isPlain = options.tls !== true;
    let bed: AccessBed;

    beforeAll(async () => {
      bed = await openAccessBed(options);
      await writeChart(join(bed.folder, 'app'));
      await bed.run('helm', 'package', 'app');
      await helm(await home('ana'), 'push', 'app-0.1.0.tgz', `oci://${bed.ref('public/charts')}`);
    });
    afterAll(() => bed?.close());

    async function helm(from: Workspace, command: string, ...args: string[]): Promise<string> {
      const { stdout, stderr } = await from.run(
        'helm',
        ...command.split(' '),
        ...args,
        ...(isPlain ? ['--plain-http'] : []),
      );
      return stdout + stderr;
    }

    async function home(user?: User, password?: string): Promise<Workspace> {
      const own = await freshHome(bed);
      if (user !== undefined) await helm(own, 'registry login', ...loginFlags(user, password), bed.registry.host);
      return own;
    }

    function pull(from: Workspace, name: string): Promise<string> {
      const destination = from.env['HOME'] ?? '';
      return helm(from, 'pull', `oci://${bed.ref(name)}`, '--version', '0.1.0', '--destination', destination);
    }

    test('logs in, pushes and pulls a chart', async () => {
      const ana = await home('ana');
      const pushed = await helm(ana, 'push', 'app-0.1.0.tgz', `oci://${bed.ref('docker-internal/charts')}`);
      const digest = await bed.as('ana').tagDigest('docker-internal/charts/app', '0.1.0');
      expect(pushed).toContain(`Digest: ${digest}`);
      expect(await pull(ana, 'docker-internal/charts/app')).toContain(`Digest: ${digest}`);
      const chart = await readFile(join(ana.env['HOME'] ?? '', 'app-0.1.0.tgz'));
      expect(chart.equals(await readFile(join(bed.folder, 'app-0.1.0.tgz')))).toBe(true);
    });

    test('cannot log in with a wrong password', async () => {
      await expect(home('ana', 'guessed')).rejects.toThrow(refused);
    });

    test('pulls no private chart after a logout', async () => {
      const ana = await home('ana');
      await pull(ana, 'public/charts/app');
      await ana.run('helm', 'registry', 'logout', bed.registry.host);
      await expect(pull(ana, 'docker-internal/charts/app')).rejects.toThrow(refused);
    });

    test('cannot push for a user outside of the team', async () => {
      const push = helm(await home('ben'), 'push', 'app-0.1.0.tgz', `oci://${bed.ref('public/refused')}`);
      await expect(push).rejects.toThrow(refused);
    });

    test('pulls a public chart without a login', async () => {
      expect(await pull(await home(), 'public/charts/app')).toContain('Digest: sha256:');
    });
  });
});

async function writeChart(folder: string): Promise<void> {
  await mkdir(join(folder, 'templates'), { recursive: true });
  await writeFile(join(folder, 'Chart.yaml'), 'apiVersion: v2\nname: app\nversion: 0.1.0\n');
  await writeFile(join(folder, 'values.yaml'), 'replicas: 1\n');
}
