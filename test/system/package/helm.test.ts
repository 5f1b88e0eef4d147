import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';

const root = path.join(import.meta.dirname, '../../..');

it('the Helm chart has the version of the package', () => {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
  const chart: unknown = parse(readFileSync(path.join(root, 'adapters/helm/artifactapi/Chart.yaml'), 'utf8'));
  expect(chart).toMatchObject({ version, appVersion: version });
});
