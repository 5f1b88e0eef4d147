import { describe, expect, it } from 'vitest';
import { splitArchiveName } from '../../src/archives/archive-names.js';

describe('splitArchiveName', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['busybox:latest', 'busybox', 'latest'],
    ['team/app:1.2', 'team/app', '1.2'],
    ['docker.io/library/busybox:1', 'busybox', '1'],
    ['library/busybox:1', 'busybox', '1'],
    ['docker.io/team/app:1', 'team/app', '1'],
    ['registry.example/team/app:1', 'team/app', '1'],
    ['registry.example:5000/team/app', 'team/app', undefined],
    ['localhost/app:1', 'app', '1'],
    ['127.0.0.1:5000/local/team/app:1', 'team/app', '1'],
    ['local/team/app:1', 'team/app', '1'],
    ['local/app:1', 'app', '1'],
    ['local:1', 'local', '1'],
    ['library/team/app:1', 'library/team/app', '1'],
    ['team/app@sha256:0', 'team/app', undefined],
    ['team/app:1@sha256:0', 'team/app', '1'],
    ['1.2', undefined, '1.2'],
    ['latest', undefined, 'latest'],
    ['Own Build:1.0+5', 'Own Build', '1.0+5'],
    ['', undefined, undefined],
  ])('splits %j into the image %j and the tag %j', (text, image, tag) => {
    expect(splitArchiveName(text, 'local')).toEqual({ ...(image && { image }), ...(tag && { tag }) });
  });

  it('rejects a name that is too long', () => {
    expect(() => splitArchiveName('a'.repeat(1025), 'local')).toThrow(
      expect.objectContaining({ code: 'ARCHIVE_INVALID' }),
    );
  });
});
