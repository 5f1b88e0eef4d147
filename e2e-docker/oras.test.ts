import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

const artifactType = 'application/vnd.example.report.v1';

interface Discovered {
  /** `referrers` since oras 1.3, `manifests` before. */
  readonly referrers?: readonly { digest: string; artifactType: string }[];
  readonly manifests?: readonly { digest: string; artifactType: string }[];
}

describeClient('oras', ['oras'], () => {
  let bed: TestBed;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    await writeFile(join(bed.folder, 'report.txt'), 'all is well\n');
    await writeFile(join(bed.folder, 'sbom.json'), '{"packages":[]}\n');
    await writeFile(join(bed.folder, 'scan.json'), '{"findings":0}\n');
  });
  afterAll(() => bed?.close());

  /** Commands such as `oras manifest fetch` have two words before their flags. */
  const oras = async (command: string, ...args: string[]) =>
    (await bed.run('oras', ...command.split(' '), '--plain-http', ...args)).stdout;

  async function referrersOf(name: string, ...filter: string[]): Promise<string[]> {
    const found = JSON.parse(await oras('discover', '--format', 'json', ...filter, bed.ref(name))) as Discovered;
    return (found.referrers ?? found.manifests ?? []).map((referrer) => referrer.artifactType).toSorted();
  }

  test('pushes a file as an artifact and pulls it back', async () => {
    await oras('push', '--artifact-type', artifactType, bed.ref('artifact:1'), 'report.txt:text/plain');
    const folder = join(bed.folder, 'pulled');
    await mkdir(folder);
    await oras('pull', '--output', folder, bed.ref('artifact:1'));
    expect(await readFile(join(folder, 'report.txt'), 'utf8')).toBe('all is well\n');
    expect(JSON.parse(await oras('manifest fetch', bed.ref('artifact:1')))).toMatchObject({ artifactType });
  });

  test('attaches files to an artifact and discovers them', async () => {
    await oras('attach', '--artifact-type', 'application/vnd.example.sbom.v1', bed.ref('artifact:1'), 'sbom.json');
    await oras('attach', '--artifact-type', 'application/vnd.example.scan.v1', bed.ref('artifact:1'), 'scan.json');
    expect(await referrersOf('artifact:1')).toEqual([
      'application/vnd.example.sbom.v1',
      'application/vnd.example.scan.v1',
    ]);
    expect(await referrersOf('artifact:1', '--artifact-type', 'application/vnd.example.scan.v1')).toEqual([
      'application/vnd.example.scan.v1',
    ]);
  });

  test('creates no fallback tag, because the registry lists referrers', async () => {
    expect(await oras('repo tags', bed.ref('artifact'))).toBe('1\n');
  });

  test('copies an artifact with everything attached to it', async () => {
    const both = ['--from-plain-http', '--to-plain-http'];
    await bed.run('oras', 'copy', '--recursive', ...both, bed.ref('artifact:1'), bed.ref('copied/artifact:1'));
    expect(await referrersOf('copied/artifact:1')).toEqual(await referrersOf('artifact:1'));
  });

  test('deletes an artifact', async () => {
    await oras('manifest delete', '--force', bed.ref('artifact:1'));
    expect(await registry.tagDigest('local/artifact', '1')).toBeUndefined();
  });
});
