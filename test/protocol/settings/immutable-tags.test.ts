import { describe, expect, it } from 'vitest';
import { parseTag } from '../../../src/protocol/names.js';
import { immutablePatternOf } from '../../../src/protocol/settings/immutable-tags.js';
import { decodeRepository } from '../../../src/protocol/tables/management.js';
import { refusalOf } from '../../support/clients/refusal.js';
import { localConfig } from '../../support/storage/local-config.js';

describe('immutablePatternOf()', () => {
  const config = localConfig('a', { immutableTags: ['v*', '*.*.*', 'stable'], mutableTags: ['v*-rc*', '*-snapshot'] });
  it.each([
    ['v1', 'v*'],
    ['v', 'v*'],
    ['1.2.3', '*.*.*'],
    ['stable', 'stable'],
    ['stable2', undefined],
    ['1.2', undefined],
    ['V1', undefined],
    ['latest', undefined],
    ['v1-rc1', undefined],
    ['1.2.3-snapshot', undefined],
  ])('tag %j is made immutable by %j', (tag, pattern) => {
    expect(immutablePatternOf(config, parseTag(tag))).toBe(pattern);
  });

  it('returns undefined in repositories without patterns and of other types', () => {
    expect(immutablePatternOf(localConfig('a'), parseTag('v1'))).toBeUndefined();
    const remote = decodeRepository({
      name: 'b',
      package_type: 'docker',
      repo_type: 'remote',
      url: 'http://b.example',
    });
    expect(immutablePatternOf(remote, parseTag('v1'))).toBeUndefined();
  });

  it.each(['', 'a/b', 'v1:2', ' v*', 'v*\n', '.x', '-x', '[v]', 'v?', 'a'.repeat(256)])(
    'refuses the malformed pattern %j in both options with its path',
    (pattern) => {
      for (const option of ['immutable_tags', 'mutable_tags']) {
        const document = { name: 'a', package_type: 'docker', repo_type: 'local', [option]: ['v*', pattern] };
        const refusal = refusalOf(() => decodeRepository(document));
        expect(refusal).toMatchObject({ status: 400, detail: [{ path: `${option}[1]` }] });
      }
    },
  );
});
