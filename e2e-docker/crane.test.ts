import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { Image } from './support/images.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

describeClient('crane', ['crane', 'busybox'], () => {
  let bed: TestBed;
  let registry: RegistryHttp;
  let image: Image;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    image = await busyboxImage({ marker: 'crane was here' });
    await writeLayout(join(bed.folder, 'layout'), '1', image);
  });
  afterAll(() => bed?.close());

  const crane = async (...args: string[]) => (await bed.run('crane', '--insecure', ...args)).stdout.trim();

  test('pushes an image that the registry stores byte for byte', async () => {
    const pushed = await crane('push', join(bed.folder, 'layout'), bed.ref('app:1'));
    expect(pushed).toBe(`${bed.ref('app')}@${image.manifest.digest}`);
    expect(await crane('digest', bed.ref('app:1'))).toBe(image.manifest.digest);
    expect(await crane('manifest', bed.ref('app:1'))).toBe(image.manifest.bytes.toString());
    await registry.pullImage('local/app', '1', image);
  });

  test('pushes layers again after they were garbage collected', async () => {
    await crane('push', join(bed.folder, 'layout'), bed.ref('collected:1'));
    await registry.dropImage('local/collected', '1');
    await crane('push', join(bed.folder, 'layout'), bed.ref('collected:1'));
    await registry.pullImage('local/collected', '1', image);
    await crane('delete', `${bed.ref('collected')}@${image.manifest.digest}`);
  });

  test('pulls an image and validates every layer', async () => {
    await crane('pull', bed.ref('app:1'), join(bed.folder, 'pulled.tar'));
    // The report of the check is on stderr. The status has the result.
    await crane('validate', '--remote', bed.ref('app:1'));
    expect(await crane('export', bed.ref('app:1'), '-')).toContain('crane was here');
  });

  test('copies and tags', async () => {
    await crane('copy', bed.ref('app:1'), bed.ref('team/copied:1'));
    await crane('tag', bed.ref('team/copied:1'), 'second');
    expect(await crane('ls', bed.ref('team/copied'))).toBe('1\nsecond');
    await registry.pullImage('local/team/copied', 'second', image);
  });

  test('creates an index of images', async () => {
    await writeLayout(join(bed.folder, 'arm'), '1', await busyboxImage({ marker: 'arm', architecture: 'arm64' }));
    await crane('push', join(bed.folder, 'arm'), bed.ref('app:arm64'));
    const manifests = ['--manifest', bed.ref('app:1'), '--manifest', bed.ref('app:arm64')];
    await crane('index', 'append', ...manifests, '--tag', bed.ref('index:1'));
    const config = JSON.parse(await crane('config', '--platform', 'linux/arm64', bed.ref('index:1'))) as object;
    expect(config).toMatchObject({ architecture: 'arm64' });
    await crane('validate', '--remote', bed.ref('index:1'));
  });

  test('lists the catalog', async () => {
    expect((await crane('catalog', bed.registry.host)).split('\n')).toEqual(
      ['app', 'index', 'team/copied'].map((name) => `local/${name}`),
    );
  });

  test('deletes a digest with all its tags', async () => {
    await crane('delete', `${bed.ref('team/copied')}@${image.manifest.digest}`);
    await expect(crane('digest', bed.ref('team/copied:second'))).rejects.toThrow(/404|MANIFEST_UNKNOWN/);
    await registry.pullImage('local/app', '1', image);
  });

  test('deletes only a tag', async () => {
    await crane('tag', bed.ref('app:1'), 'short-lived');
    await crane('delete', bed.ref('app:short-lived'));
    expect(await crane('ls', bed.ref('app'))).toBe('1\narm64');
    await registry.pullImage('local/app', '1', image);
  });
});
